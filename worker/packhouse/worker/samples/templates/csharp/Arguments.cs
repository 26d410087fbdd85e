using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Microsoft.ML.OnnxRuntime;

namespace Sample;

/// <summary>Something that a person can set right, in one sentence.</summary>
internal sealed class Mistake : Exception
{
    public Mistake(string message) : base(message) { }

    /// <summary>Whether ONNX Runtime says it. A status that this version of the API has no name for is a KeyNotFoundException.</summary>
    public static bool IsOfRuntime(Exception error) => error is OnnxRuntimeException or KeyNotFoundException;

    public static string FirstLine(Exception error) =>
        error.Message.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).FirstOrDefault()
        ?? error.GetType().Name;
}

/// <summary>What was asked for on the command line.</summary>
internal sealed record Arguments(string? Candidate, IReadOnlyDictionary<string, long[]> Shapes)
{
    public static Arguments Parse(IReadOnlyList<string> words)
    {
        string? candidate = null;
        var shapes = new Dictionary<string, long[]>();
        for (var at = 0; at < words.Count; at++)
        {
            if (words[at] == "--shape")
            {
                at++;
                var (name, shape) = ParsedShape(at < words.Count ? words[at] : throw new Mistake("--shape wants a value."));
                shapes[name] = shape;
            }
            else if (candidate is null && !words[at].StartsWith('-'))
            {
                candidate = words[at];
            }
            else
            {
                throw new Mistake("usage: Sample [CANDIDATE_FOLDER] [--shape NAME=1,3,224,224]...");
            }
        }
        return new Arguments(candidate, shapes);
    }

    /// <summary>NAME=1,3,224,224; NAME= is a scalar.</summary>
    private static (string Name, long[] Shape) ParsedShape(string text)
    {
        var equals = text.LastIndexOf('=');
        var sizes = equals < 0 ? "?" : text[(equals + 1)..];
        if (sizes.Length == 0)
        {
            return (text[..equals], Array.Empty<long>());
        }
        var shape = new List<long>();
        foreach (var size in sizes.Split(','))
        {
            if (size.Length > 9 || !long.TryParse(size, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            {
                throw new Mistake($"--shape {text} is not of the form NAME=1,3,224,224.");
            }
            shape.Add(number);
        }
        return (text[..equals], shape.ToArray());
    }
}
