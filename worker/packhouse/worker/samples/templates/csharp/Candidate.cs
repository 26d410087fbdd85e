using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;

namespace Sample;

/// <summary>An ONNX model of a candidate: its only one, or one of several components.</summary>
/// <param name="Folder">The candidate's.</param>
/// <param name="Relative">Its file, relative to the folder, with forward slashes.</param>
/// <param name="Config">The engine's description of it.</param>
internal sealed record Model(string Folder, string Relative, JsonElement Config)
{
    public string Path => System.IO.Path.Combine(Folder, Relative);

    /// <summary>Values of the inputs that never change, where the engine took them out of the model.</summary>
    public Inputs ConstantInputs() =>
        Config.Text("constant_inputs_file_name") is { } name
            ? Npz.Read(System.IO.Path.Combine(System.IO.Path.GetDirectoryName(Path)!, name))
            : new Inputs();
}

/// <summary>The folder of a candidate: which models are in it.</summary>
internal static class Candidate
{
    /// <summary>The folder that was given, else the best candidate's, from the program's place upwards.</summary>
    public static string Find(string? given, string best)
    {
        if (given is not null)
        {
            return Directory.Exists(given)
                ? given
                : throw new Mistake($"{given} is no folder: name the folder of a candidate, such as {best}.");
        }
        foreach (var start in new[] { AppContext.BaseDirectory, Directory.GetCurrentDirectory() })
        {
            for (var above = new DirectoryInfo(start); above is not null; above = above.Parent)
            {
                var folder = Path.Combine(above.FullName, best);
                if (File.Exists(Path.Combine(folder, "model_info.json")))
                {
                    return folder;
                }
            }
        }
        throw new Mistake($"{best} is not to be found from here upwards: name the folder of a candidate.");
    }

    public static IReadOnlyList<Model> Models(string folder)
    {
        var models = Configs(Json.Read(Path.Combine(folder, "model_info.json")).Member("model_config"))
            .Select(config => new Model(folder, MainFile(folder, config), config))
            .ToList();
        return models.Count > 0 ? models : throw NoModel(folder);
    }

    // The description of a model, or of each ONNX model that it is made of.
    private static IEnumerable<JsonElement> Configs(JsonElement described)
    {
        var config = described.Member("config");
        var parts = config.Member("model_components").Items().ToList();
        return parts.Count > 0 ? parts.Where(IsOnnx).SelectMany(Configs) : new[] { config };
    }

    private static bool IsOnnx(JsonElement part) => part.Text("type")?.ToLowerInvariant() is "onnxmodel" or "compositemodel";

    private static Mistake NoModel(string folder) => new($"{folder} holds no ONNX model: name the folder of a candidate.");

    // The end of the model's path, which counts from the root of the package.
    private static string MainFile(string folder, JsonElement config)
    {
        var parts = Parts(config.Text("model_path") ?? "");
        var inner = Parts(config.Text("onnx_file_name") ?? "model.onnx");
        for (var skipped = 0; skipped <= parts.Length; skipped++)
        {
            foreach (var end in new[] { parts[skipped..], parts[skipped..].Concat(inner).ToArray() })
            {
                var relative = string.Join('/', end);
                if (!end.Contains("..") && !Path.IsPathRooted(relative) && File.Exists(Path.Combine(folder, relative)))
                {
                    return relative;
                }
            }
        }
        throw NoModel(folder);
    }

    private static string[] Parts(string path) => path.Split('/').Where(part => part is not ("" or ".")).ToArray();
}
