using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;
using Microsoft.ML.OnnxRuntime;

namespace Sample;

/// <summary>A session with the settings of inference_config.json, as far as this machine has what they ask for.</summary>
internal static class Session
{
    public static InferenceSession Open(Model model)
    {
        if (model.Config.Text("external_initializers_file_name") is not null)
        {
            throw new Mistake(
                "This model keeps its weights in an .npz file beside it, which the C# API of ONNX Runtime does not take: "
                + "use the Python sample or the C++ sample.");
        }
        var settings = Json.Read(Path.Combine(model.Folder, "inference_config.json"));
        if (settings.IsAbsent())
        {
            // A model of several components has no such file: each component's description holds its own.
            settings = model.Config.Member("inference_settings");
        }
        using var options = Options(model, settings, Console.Error.WriteLine);
        var appended = Providers.Append(options, settings);
        try
        {
            return new InferenceSession(model.Path, options);
        }
        catch (Exception error) when (appended.Count > 0 && Mistake.IsOfRuntime(error))
        {
            var names = string.Join(", ", appended);
            Console.Error.WriteLine(
                $"{names} could not load the model: going on with CPUExecutionProvider. {Mistake.FirstLine(error)}");
        }
        catch (Exception error) when (Mistake.IsOfRuntime(error))
        {
            throw NotLoaded(model, error);
        }
        using var onCpu = Options(model, settings, _ => { });
        try
        {
            return new InferenceSession(model.Path, onCpu);
        }
        catch (Exception error) when (Mistake.IsOfRuntime(error))
        {
            throw NotLoaded(model, error);
        }
    }

    private static Mistake NotLoaded(Model model, Exception error) =>
        new($"onnxruntime could not load {model.Path}: {Mistake.FirstLine(error)}");

    private static SessionOptions Options(Model model, JsonElement settings, Action<string> say)
    {
        var options = new SessionOptions();
        foreach (var option in settings.Member("session_options").Members())
        {
            try
            {
                var set = option.Value.IsAbsent() || Set(options, option.Name, option.Value);
                if (!set && option.Value.ValueKind != JsonValueKind.False)
                {
                    say($"The session option {option.Name} is not set: this program has no use for it.");
                }
            }
            catch (Exception error) when (Mistake.IsOfRuntime(error))
            {
                say($"The session option {option.Name} is not set: {Mistake.FirstLine(error)}");
            }
        }
        if (model.Config.Member("use_ort_extensions").IsTrue())
        {
            RegisterExtensions(options);
        }
        return options;
    }

    private static void RegisterExtensions(SessionOptions options)
    {
        try
        {
            options.RegisterOrtExtensions();
        }
        catch (Exception error) when (Mistake.IsOfRuntime(error) || error is DllNotFoundException)
        {
            throw new Mistake(
                "This model has operators of onnxruntime-extensions, which is not there: "
                + "dotnet add package Microsoft.ML.OnnxRuntime.Extensions");
        }
    }

    /// <summary>Whether the option is known and was set.</summary>
    private static bool Set(SessionOptions options, string name, JsonElement value)
    {
        if (name == "extra_session_config" && value.ValueKind == JsonValueKind.Object)
        {
            foreach (var entry in value.Members().Where(entry => !WritesFiles(entry.Name)))
            {
                if (entry.Value.OptionText() is { } text)
                {
                    options.AddSessionConfigEntry(entry.Name, text);
                }
            }
            return true;
        }
        if ((value.ValueKind == JsonValueKind.String ? Mode(value.GetString()) : value.WholeNumber()) is not { } number)
        {
            return false;
        }
        switch (name)
        {
            case "execution_mode" when number is 0 or 1:
                options.ExecutionMode = number == 1 ? ExecutionMode.ORT_PARALLEL : ExecutionMode.ORT_SEQUENTIAL;
                return true;
            case "graph_optimization_level" when Level(number) is { } level:
                options.GraphOptimizationLevel = level;
                return true;
            case "intra_op_num_threads":
                options.IntraOpNumThreads = number;
                return true;
            case "inter_op_num_threads":
                options.InterOpNumThreads = number;
                return true;
            case "log_severity_level" when number is >= 0 and <= 4:
                options.LogSeverityLevel = (OrtLoggingLevel)number;
                return true;
            case "log_verbosity_level":
                options.LogVerbosityLevel = number;
                return true;
            case "enable_cpu_mem_arena":
                options.EnableCpuMemArena = number != 0;
                return true;
            case "enable_mem_pattern":
                options.EnableMemoryPattern = number != 0;
                return true;
            default:
                return false;
        }
    }

    private static bool WritesFiles(string key) =>
        key.StartsWith("ep.context_", StringComparison.Ordinal)
        || key.StartsWith("session.optimized_model_", StringComparison.Ordinal)
        || key == "session.collect_node_memory_stats_to_file";

    private static int? Mode(string? name) => name switch
    {
        "ORT_SEQUENTIAL" => 0,
        "ORT_PARALLEL" => 1,
        "ORT_DISABLE_ALL" => 0,
        "ORT_ENABLE_BASIC" => 1,
        "ORT_ENABLE_EXTENDED" => 2,
        "ORT_ENABLE_ALL" => 99,
        _ => int.TryParse(name, out var number) ? number : null,
    };

    private static GraphOptimizationLevel? Level(int number) => number switch
    {
        0 => GraphOptimizationLevel.ORT_DISABLE_ALL,
        1 => GraphOptimizationLevel.ORT_ENABLE_BASIC,
        2 => GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        // The level of its own for layouts (3) is not in every version; in those without it, all holds them.
        3 or 99 => GraphOptimizationLevel.ORT_ENABLE_ALL,
        _ => null,
    };
}
