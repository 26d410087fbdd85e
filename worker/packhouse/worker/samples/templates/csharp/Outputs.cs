using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Text;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Sample;

/// <summary>Outputs of a session, as lines of text.</summary>
internal static class Outputs
{
    private const int Shown = 16;

    /// <summary>Runs the model; one line for a tensor, one for each member of a sequence or a map.</summary>
    public static void Print(TextWriter writer, InferenceSession session, Inputs inputs)
    {
        var names = session.OutputNames.Where(name => !MayBeAbsent(session, name)).ToList();
        if (names.Count == 0)
        {
            return;
        }
        using var options = new RunOptions();
        IDisposableReadOnlyCollection<OrtValue> results;
        try
        {
            results = session.Run(options, inputs, names);
        }
        catch (Exception error) when (Mistake.IsOfRuntime(error))
        {
            throw new Mistake($"The model did not run on these inputs; other shapes may do, see --shape: {Mistake.FirstLine(error)}");
        }
        using (results)
        {
            foreach (var (name, value) in names.Zip(results))
            {
                foreach (var line in Lines(name, value))
                {
                    writer.WriteLine(line);
                }
            }
        }
    }

    // The managed API breaks off the whole program at a value that is absent.
    private static bool MayBeAbsent(InferenceSession session, string name)
    {
        if (session.OutputMetadata[name].OnnxValueType != OnnxValueType.ONNX_TYPE_OPTIONAL)
        {
            return false;
        }
        Console.Error.WriteLine(
            $"The output {Name(name)} is not asked for: it may be absent, which the C# API of ONNX Runtime cannot tell.");
        return true;
    }

    private static List<string> Lines(string name, OrtValue value)
    {
        switch (value.OnnxType)
        {
            case OnnxValueType.ONNX_TYPE_TENSOR:
                return new List<string> { TensorLine(name, value) };
            case OnnxValueType.ONNX_TYPE_SEQUENCE:
                var lines = new List<string>();
                value.ProcessSequence(
                    (member, at) => lines.AddRange(Lines($"{name}[{at}]", member)), OrtAllocator.DefaultInstance);
                return lines;
            case OnnxValueType.ONNX_TYPE_MAP:
                return MapLines(name, value);
            default:
                Console.Error.WriteLine($"The output {Name(name)} is of a kind that is not shown.");
                return new List<string>();
        }
    }

    private static List<string> MapLines(string name, OrtValue map)
    {
        var lines = new List<string>();
        map.ProcessMap(
            (keys, values) =>
            {
                var texts = Texts(keys, int.MaxValue, text => text);
                if (values.OnnxType == OnnxValueType.ONNX_TYPE_TENSOR)
                {
                    var element = ElementName(values.GetTensorTypeAndShape().ElementDataType);
                    var shown = Texts(values, int.MaxValue, Quoted);
                    lines.AddRange(texts.Zip(shown, (key, text) => $"{Name($"{name}[{key}]")}: {element}[] {text}"));
                }
                else
                {
                    values.ProcessSequence(
                        (member, at) => lines.AddRange(Lines($"{name}[{texts[at]}]", member)), OrtAllocator.DefaultInstance);
                }
            },
            OrtAllocator.DefaultInstance);
        return lines;
    }

    private static string TensorLine(string name, OrtValue tensor)
    {
        var type = tensor.GetTensorTypeAndShape();
        var line = new StringBuilder($"{Name(name)}: {ElementName(type.ElementDataType)}[{string.Join(',', type.Shape)}]");
        foreach (var text in Texts(tensor, Shown, Quoted))
        {
            line.Append(' ').Append(text);
        }
        return line.Append(type.ElementCount > Shown ? " \u2026" : "").ToString();
    }

    /// <summary>The first elements of a tensor as text; none where its type is not shown.</summary>
    private static List<string> Texts(OrtValue tensor, int most, Func<string, string> shown)
    {
        var type = tensor.GetTensorTypeAndShape();
        return type.ElementDataType switch
        {
            TensorElementType.Float => First<float>(tensor, most, value => Number(value)),
            TensorElementType.Double => First<double>(tensor, most, Number),
            TensorElementType.Float16 => First<Float16>(tensor, most, value => Number(value.ToFloat())),
            TensorElementType.BFloat16 => First<BFloat16>(tensor, most, value => Number(value.ToFloat())),
            TensorElementType.Int8 => First<sbyte>(tensor, most, Whole),
            TensorElementType.Int16 => First<short>(tensor, most, Whole),
            TensorElementType.Int32 => First<int>(tensor, most, Whole),
            TensorElementType.Int64 => First<long>(tensor, most, Whole),
            TensorElementType.UInt8 => First<byte>(tensor, most, Whole),
            TensorElementType.UInt16 => First<ushort>(tensor, most, Whole),
            TensorElementType.UInt32 => First<uint>(tensor, most, Whole),
            TensorElementType.UInt64 => First<ulong>(tensor, most, Whole),
            TensorElementType.Bool => First<bool>(tensor, most, value => value ? "true" : "false"),
            TensorElementType.String => Enumerable.Range(0, (int)Math.Min(type.ElementCount, most))
                .Select(at => shown(tensor.GetStringElement(at)))
                .ToList(),
            _ => new List<string>(),
        };
    }

    private static List<string> First<T>(OrtValue tensor, int most, Func<T, string> shown) where T : unmanaged
    {
        var texts = new List<string>();
        var values = tensor.GetTensorDataAsSpan<T>();
        foreach (var value in values[..Math.Min(values.Length, most)])
        {
            texts.Add(shown(value));
        }
        return texts;
    }

    private static string Whole<T>(T value) where T : IFormattable => value.ToString(null, CultureInfo.InvariantCulture);

    private static string Number(double value) => value switch
    {
        double.NaN => "nan",
        double.PositiveInfinity => "inf",
        double.NegativeInfinity => "-inf",
        _ => value.ToString("g9", CultureInfo.InvariantCulture),
    };

    private static bool IsControl(char each) => each is < ' ' or '\u007f';

    private static string Quoted(string value)
    {
        var text = new StringBuilder("\"");
        foreach (var each in value)
        {
            text.Append(each switch
            {
                '"' or '\\' => $"\\{each}",
                _ when IsControl(each) => $"\\u{(int)each:x4}",
                _ => each.ToString(),
            });
        }
        return text.Append('"').ToString();
    }

    private static string Name(string name) => string.Concat(name.Select(each => IsControl(each) ? '?' : each));

    private static string ElementName(TensorElementType element) => element switch
    {
        TensorElementType.Float or TensorElementType.Double or TensorElementType.Float16 or TensorElementType.BFloat16
            or TensorElementType.Int8 or TensorElementType.Int16 or TensorElementType.Int32 or TensorElementType.Int64
            or TensorElementType.UInt8 or TensorElementType.UInt16 or TensorElementType.UInt32 or TensorElementType.UInt64
            or TensorElementType.Bool or TensorElementType.String => element.ToString().ToLowerInvariant(),
        _ => "unknown",
    };
}
