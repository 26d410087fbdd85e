using System;
using System.IO;
using System.IO.Compression;
using System.Linq;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;
using Microsoft.ML.OnnxRuntime.Tensors;

namespace Sample;

/// <summary>Archives of NumPy arrays (.npz), as far as models keep their values in them.</summary>
internal static class Npz
{
    public static Inputs Read(string file)
    {
        var arrays = new Inputs();
        try
        {
            using var archive = ZipFile.OpenRead(file);
            foreach (var entry in archive.Entries)
            {
                using var stream = entry.Open();
                var name = entry.FullName.EndsWith(".npy", StringComparison.Ordinal) ? entry.FullName[..^4] : entry.FullName;
                arrays.Give(name, Array(stream));
            }
            return arrays;
        }
        catch (Exception error) when (error is IOException or InvalidDataException)
        {
            arrays.Dispose();
            throw new Mistake($"{file} could not be read: {Mistake.FirstLine(error)}");
        }
    }

    // Source of the format: numpy.lib.format.
    private static OrtValue Array(Stream stream)
    {
        var start = Bytes(stream, 8);
        if (!start.AsSpan(0, 6).SequenceEqual(new byte[] { 0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y' }))
        {
            throw new InvalidDataException("an entry is no array of NumPy");
        }
        var length = start[6] == 1 ? BitConverter.ToUInt16(Bytes(stream, 2)) : BitConverter.ToInt32(Bytes(stream, 4));
        var header = Encoding.UTF8.GetString(Bytes(stream, length));
        var type = Regex.Match(header, "'descr': '([^']*)'").Groups[1].Value;
        var shape = Regex.Match(header, @"'shape': \(([^)]*)\)");
        var sizes = shape.Groups[1].Value.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (Element(type) is not { } element || !shape.Success || !header.Contains("'fortran_order': False"))
        {
            throw new InvalidDataException("it holds an array of a type or an order that this program does not read");
        }
        var made = OrtValue.CreateAllocatedTensorValue(OrtAllocator.DefaultInstance, element, sizes.Select(long.Parse).ToArray());
        var into = made.GetTensorMutableRawData();
        for (var at = 0; at < into.Length;)
        {
            var count = stream.Read(into[at..]);
            at += count > 0 ? count : throw new InvalidDataException("an array in it ends too soon");
        }
        return made;
    }

    private static TensorElementType? Element(string type) => type switch
    {
        "<f4" => TensorElementType.Float,
        "<f8" => TensorElementType.Double,
        "<f2" => TensorElementType.Float16,
        "|i1" => TensorElementType.Int8,
        "<i2" => TensorElementType.Int16,
        "<i4" => TensorElementType.Int32,
        "<i8" => TensorElementType.Int64,
        "|u1" => TensorElementType.UInt8,
        "<u2" => TensorElementType.UInt16,
        "<u4" => TensorElementType.UInt32,
        "<u8" => TensorElementType.UInt64,
        "|b1" => TensorElementType.Bool,
        _ => null,
    };

    private static byte[] Bytes(Stream stream, int count)
    {
        var bytes = new byte[count];
        for (var at = 0; at < count;)
        {
            var read = stream.Read(bytes, at, count - at);
            at += read > 0 ? read : throw new InvalidDataException("an array in it ends too soon");
        }
        return bytes;
    }
}
