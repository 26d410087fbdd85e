using System;
using System.Collections.Generic;
using System.Linq;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;

namespace Sample;

/// <summary>Execution providers.</summary>
internal static class Providers
{
    private const string Cpu = "CPUExecutionProvider";

    /// <summary>Appends what was asked for and is there; returns the names of those, the CPU's aside.</summary>
    public static IReadOnlyList<string> Append(SessionOptions options, JsonElement settings)
    {
        var there = OrtEnv.Instance().GetAvailableProviders();
        var appended = new List<string>();
        foreach (var (name, own) in Asked(settings))
        {
            if (!there.Contains(name))
            {
                Console.Error.WriteLine(
                    $"{name} is not in this onnxruntime, which has {string.Join(", ", there)}: going on without it.");
                continue;
            }
            try
            {
                if (name != Cpu)
                {
                    Append(options, name, own);
                    appended.Add(name);
                }
            }
            catch (Exception error) when (Mistake.IsOfRuntime(error) || error is EntryPointNotFoundException)
            {
                Console.Error.WriteLine(
                    $"{name} could not be used on this machine: going on without it. {Mistake.FirstLine(error)}");
            }
        }
        return appended;
    }

    /// <summary>Names and options: given as pairs, or as names with the options in a list beside them.</summary>
    private static IEnumerable<(string Name, Dictionary<string, string> Options)> Asked(JsonElement settings)
    {
        var asked = settings.Member("execution_provider");
        var beside = settings.Member("provider_options").Items().ToList();
        var all = asked.ValueKind == JsonValueKind.Array ? asked.Items() : new[] { asked };
        foreach (var (each, at) in all.Select((each, at) => (each, at)))
        {
            var pair = each.Items().ToList();
            var (name, own) = pair.Count == 2 ? (pair[0], pair[1]) : (each, beside.ElementAtOrDefault(at));
            if (name.ValueKind == JsonValueKind.String)
            {
                yield return (name.GetString()!, OptionsOf(own));
            }
        }
    }

    private static Dictionary<string, string> OptionsOf(JsonElement own) =>
        own.Members()
            .Select(option => (option.Name, Text: option.Value.OptionText()))
            .Where(option => option.Text is not null)
            .GroupBy(option => option.Name)
            .ToDictionary(options => options.Key, options => options.Last().Text!);

    // Those with options of a class of their own are not taken by the general method.
    private static void Append(SessionOptions options, string name, Dictionary<string, string> own)
    {
        const string ending = "ExecutionProvider";
        switch (name)
        {
            case "CUDAExecutionProvider":
                using (var cuda = new OrtCUDAProviderOptions())
                {
                    cuda.UpdateOptions(own);
                    options.AppendExecutionProvider_CUDA(cuda);
                }
                break;
            case "TensorrtExecutionProvider":
                using (var tensorrt = new OrtTensorRTProviderOptions())
                {
                    tensorrt.UpdateOptions(own);
                    options.AppendExecutionProvider_Tensorrt(tensorrt);
                }
                break;
            case "ROCMExecutionProvider":
                using (var rocm = new OrtROCMProviderOptions())
                {
                    rocm.UpdateOptions(own);
                    options.AppendExecutionProvider_ROCm(rocm);
                }
                break;
            case "MIGraphXExecutionProvider":
                options.AppendExecutionProvider_MIGraphX(int.TryParse(own.GetValueOrDefault("device_id"), out var device) ? device : 0);
                break;
            case "DmlExecutionProvider":
                options.AppendExecutionProvider("DML", own);
                break;
            case "WebGpuExecutionProvider":
                options.AppendExecutionProvider("WebGPU", own);
                break;
            case "AzureExecutionProvider":
                options.AppendExecutionProvider("AZURE", own);
                break;
            default:
                options.AppendExecutionProvider(name.EndsWith(ending, StringComparison.Ordinal) ? name[..^ending.Length] : name, own);
                break;
        }
    }
}
