using System;
using System.Globalization;
using System.IO;
using System.IO.Compression;
using System.Linq;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.ML.OnnxRuntime;

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
                arrays.Give(name, Array(stream, entry.Length));
            }
            return arrays;
        }
        catch (Exception error) when (error is IOException or InvalidDataException or FormatException or OverflowException)
        {
            arrays.Dispose();
            throw new Mistake($"{file} could not be read: {Mistake.FirstLine(error)}");
        }
    }

    // Source of the format: numpy.lib.format.
    private static OrtValue Array(Stream stream, long bytes)
    {
        var start = Bytes(stream, 8);
        if (!start.AsSpan(0, 6).SequenceEqual(new byte[] { 0x93, (byte)'N', (byte)'U', (byte)'M', (byte)'P', (byte)'Y' }))
        {
            throw new InvalidDataException("an entry is no array of NumPy");
        }
        var length = start[6] == 1 ? BitConverter.ToUInt16(Bytes(stream, 2)) : BitConverter.ToUInt32(Bytes(stream, 4));
        if (length > bytes)
        {
            throw new InvalidDataException("an array in it ends too soon");
        }
        var header = Encoding.UTF8.GetString(Bytes(stream, (int)length));
        var type = Regex.Match(header, "'descr': '([^']*)'").Groups[1].Value;
        var shape = Regex.Match(header, @"'shape': \(([^)]*)\)");
        if (!shape.Success || !header.Contains("'fortran_order': False", StringComparison.Ordinal))
        {
            throw new InvalidDataException("it holds an array in column order, which this program does not read");
        }
        var sizes = shape.Groups[1].Value
            .Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(size => long.Parse(size, NumberStyles.None, CultureInfo.InvariantCulture))
            .ToArray();
        if (Tensors.Elements(sizes) > bytes)
        {
            throw new InvalidDataException("an array in it ends too soon");
        }
        return type switch
        {
            "<f4" => Values<float>(stream, sizes),
            "<f8" => Values<double>(stream, sizes),
            "<f2" => Values<Float16>(stream, sizes),
            "|i1" => Values<sbyte>(stream, sizes),
            "<i2" => Values<short>(stream, sizes),
            "<i4" => Values<int>(stream, sizes),
            "<i8" => Values<long>(stream, sizes),
            "|u1" => Values<byte>(stream, sizes),
            "<u2" => Values<ushort>(stream, sizes),
            "<u4" => Values<uint>(stream, sizes),
            "<u8" => Values<ulong>(stream, sizes),
            "|b1" => Values<bool>(stream, sizes),
            _ => throw new InvalidDataException($"it holds an array of the type {type}, which this program does not read"),
        };
    }

    private static OrtValue Values<T>(Stream stream, long[] sizes) where T : unmanaged
    {
        var values = new T[Tensors.Elements(sizes)];
        Fill(stream, MemoryMarshal.AsBytes<T>(values));
        return OrtValue.CreateTensorValueFromMemory(values, sizes);
    }

    private static byte[] Bytes(Stream stream, int count)
    {
        var bytes = new byte[count];
        Fill(stream, bytes);
        return bytes;
    }

    private static void Fill(Stream stream, Span<byte> bytes)
    {
        for (var at = 0; at < bytes.Length;)
        {
            var read = stream.Read(bytes[at..]);
            at += read > 0 ? read : throw new InvalidDataException("an array in it ends too soon");
        }
    }
}
