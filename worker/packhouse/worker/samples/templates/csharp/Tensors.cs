using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Sample;

/// <summary>Values by the names of inputs. It owns what it was given.</summary>
internal sealed class Inputs : Dictionary<string, OrtValue>, IDisposable
{
    public void Give(string name, OrtValue value)
    {
        if (Remove(name, out var before))
        {
            before.Dispose();
        }
        Add(name, value);
    }

    public void Dispose()
    {
        foreach (var value in Values)
        {
            value.Dispose();
        }
        Clear();
    }
}

/// <summary>Inputs for a session: their shapes, generated values.</summary>
internal static class Tensors
{
    private const long MostElements = 1 << 30;

    /// <summary>A tensor of strings.</summary>
    public static OrtValue Texts(IReadOnlyList<string> values, long[] shape)
    {
        if (values.Count != Elements(shape))
        {
            throw new Mistake("A tensor has not as many values as its shape says.");
        }
        var made = OrtValue.CreateTensorWithEmptyStrings(OrtAllocator.DefaultInstance, shape);
        for (var at = 0; at < values.Count; at++)
        {
            made.StringTensorSetElementAt(values[at].AsSpan(), at);
        }
        return made;
    }

    /// <summary>Those of the shapes that are for an input of this session: the others are for other components.</summary>
    public static IReadOnlyDictionary<string, long[]> OfInputs(InferenceSession session, IReadOnlyDictionary<string, long[]> shapes) =>
        shapes.Where(each => session.InputMetadata.ContainsKey(each.Key)).ToDictionary(each => each.Key, each => each.Value);

    /// <summary>Adds a generated value for every input that has none.</summary>
    public static void Complete(
        Inputs inputs, InferenceSession session, IReadOnlyDictionary<string, long[]> asked, IReadOnlyDictionary<string, long[]> known)
    {
        var wanted = session.InputMetadata;
        if (inputs.Keys.Concat(asked.Keys).FirstOrDefault(name => !wanted.ContainsKey(name)) is { } unknown)
        {
            throw new Mistake($"The model has no input {unknown}: its inputs are {string.Join(", ", session.InputNames)}.");
        }
        foreach (var name in session.InputNames.Where(name => !inputs.ContainsKey(name)))
        {
            inputs.Give(name, Generated(name, wanted[name], asked, known));
        }
    }

    private static OrtValue Generated(
        string name, NodeMetadata type, IReadOnlyDictionary<string, long[]> asked, IReadOnlyDictionary<string, long[]> known)
    {
        if (type.OnnxValueType == OnnxValueType.ONNX_TYPE_OPTIONAL)
        {
            type = type.AsOptionalMetadata().ElementMeta;
        }
        if (type.OnnxValueType != OnnxValueType.ONNX_TYPE_TENSOR)
        {
            throw new Mistake($"The input {name} is no tensor and is not generated: return it from YourInputs.");
        }
        var shape = ShapeOf(name, type.Dimensions, asked.GetValueOrDefault(name), known.GetValueOrDefault(name));
        return Generated(name, type.ElementDataType, shape);
    }

    /// <summary>Values that look like nothing in particular, the same in every language and at every run.</summary>
    private static OrtValue Generated(string name, TensorElementType element, long[] shape) => element switch
    {
        TensorElementType.Float => Filled(element, shape, at => (float)Real(at)),
        TensorElementType.Double => Filled(element, shape, Real),
        TensorElementType.Float16 => Filled(element, shape, at => new Float16(BitConverter.HalfToUInt16Bits((Half)Real(at)))),
        TensorElementType.BFloat16 => Filled(element, shape, at => (BFloat16)(float)Real(at)),
        TensorElementType.Int8 => Filled(element, shape, at => (sbyte)(at % 2)),
        TensorElementType.Int16 => Filled(element, shape, at => (short)(at % 2)),
        TensorElementType.Int32 => Filled(element, shape, at => at % 2),
        TensorElementType.Int64 => Filled(element, shape, at => (long)(at % 2)),
        TensorElementType.UInt8 => Filled(element, shape, at => (byte)(at % 2)),
        TensorElementType.UInt16 => Filled(element, shape, at => (ushort)(at % 2)),
        TensorElementType.UInt32 => Filled(element, shape, at => (uint)(at % 2)),
        TensorElementType.UInt64 => Filled(element, shape, at => (ulong)(at % 2)),
        TensorElementType.Bool => Filled(element, shape, at => at % 2 == 1),
        TensorElementType.String => Texts(Enumerable.Repeat("text", (int)Elements(shape)).ToList(), shape),
        _ => throw new Mistake($"The input {name} is of a type that is not generated: return it from YourInputs."),
    };

    private static double Real(int at) => (at * 7L + 3) % 17 / 17.0;

    private static OrtValue Filled<T>(TensorElementType element, long[] shape, Func<int, T> value) where T : unmanaged
    {
        var made = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, element, shape);
        var values = made.GetTensorMutableDataAsSpan<T>();
        for (var at = 0; at < values.Length; at++)
        {
            values[at] = value(at);
        }
        return made;
    }

    private static long[] ShapeOf(string name, int[] own, long[]? asked, long[]? known)
    {
        if (asked is not null && own.Length > 0 && !Fits(asked, own))
        {
            var sizes = own.Select(size => size < 0 ? "?" : size.ToString(CultureInfo.InvariantCulture));
            throw new Mistake($"The input {name} is of shape {string.Join(',', sizes)}: it cannot be {string.Join(',', asked)}.");
        }
        var fitting = known is not null && (own.Length == 0 || Fits(known, own)) ? known : null;
        var shape = asked ?? fitting ?? own.Select(size => size < 0 ? 1L : size).ToArray();
        return Elements(shape) <= MostElements
            ? shape
            : throw new Mistake($"The input {name} would be too large: choose a smaller --shape.");
    }

    private static bool Fits(long[] shape, int[] own) =>
        shape.Length == own.Length && own.Zip(shape).All(pair => pair.First < 0 || pair.First == pair.Second);

    /// <summary>How many elements a shape has; one more than the most that are generated where it is more than that.</summary>
    public static long Elements(long[] shape) =>
        shape.Contains(0) ? 0 : shape.Aggregate(1L, (count, size) => count > MostElements / size ? MostElements + 1 : count * size);
}
