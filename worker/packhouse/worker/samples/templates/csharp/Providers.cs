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
    public static IReadOnlyList<string> Append(SessionOptions options, JsonElement asked, Action<string> say)
    {
        var there = OrtEnv.Instance().GetAvailableProviders();
        var appended = new List<string>();
        foreach (var pair in asked.Items())
        {
            var words = pair.ValueKind == JsonValueKind.Array ? pair.Items().ToList() : new List<JsonElement> { pair };
            if (words.FirstOrDefault() is not { ValueKind: JsonValueKind.String } first || first.GetString() is not { } name)
            {
                continue;
            }
            if (!there.Contains(name))
            {
                say($"{name} is not in this onnxruntime, which has {string.Join(", ", there)}: going on without it.");
                continue;
            }
            try
            {
                if (name != Cpu)
                {
                    Append(options, name, OptionsOf(words.ElementAtOrDefault(1)));
                    appended.Add(name);
                }
            }
            catch (Exception error) when (error is OnnxRuntimeException or KeyNotFoundException or EntryPointNotFoundException)
            {
                say($"{name} could not be used on this machine: going on without it. {Mistake.FirstLine(error)}");
            }
        }
        return appended;
    }

    private static Dictionary<string, string> OptionsOf(JsonElement own) =>
        own.Members()
            .Select(option => (option.Name, Text: option.Value.OptionText()))
            .Where(option => option.Text is not null)
            .ToDictionary(option => option.Name, option => option.Text!);

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
