using System;
using System.Collections.Generic;
using System.IO;
using System.Linq;
using System.Text.Json;

namespace Sample;

/// <summary>JSON that may lack anything: what is not there is undefined, and everything in it is too.</summary>
internal static class Json
{
    /// <summary>What a file holds; undefined where there is no such file.</summary>
    public static JsonElement Read(string file)
    {
        try
        {
            using var document = JsonDocument.Parse(File.ReadAllText(file));
            ReadTexts(document.RootElement);
            return document.RootElement.Clone();
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new Mistake($"{file} could not be read: {Mistake.FirstLine(error)}");
        }
        catch (IOException error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            return default;
        }
    }

    // A text that is no Unicode is told of only when it is read: now, rather than in the middle of the work.
    private static void ReadTexts(JsonElement element)
    {
        foreach (var member in element.Members())
        {
            _ = member.Name;
            ReadTexts(member.Value);
        }
        foreach (var item in element.Items())
        {
            ReadTexts(item);
        }
        _ = element.ValueKind == JsonValueKind.String ? element.GetString() : null;
    }

    public static JsonElement Member(this JsonElement element, string name) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty(name, out var member) ? member : default;

    public static IEnumerable<JsonProperty> Members(this JsonElement element) =>
        element.ValueKind == JsonValueKind.Object ? element.EnumerateObject() : Enumerable.Empty<JsonProperty>();

    public static IEnumerable<JsonElement> Items(this JsonElement element) =>
        element.ValueKind == JsonValueKind.Array ? element.EnumerateArray() : Enumerable.Empty<JsonElement>();

    /// <summary>A member that is a string and not empty.</summary>
    public static string? Text(this JsonElement element, string name)
    {
        var member = element.Member(name);
        var text = member.ValueKind == JsonValueKind.String ? member.GetString() : null;
        return string.IsNullOrEmpty(text) ? null : text;
    }

    public static bool IsAbsent(this JsonElement element) => element.ValueKind is JsonValueKind.Undefined or JsonValueKind.Null;

    public static bool IsTrue(this JsonElement element) => element.ValueKind == JsonValueKind.True;

    /// <summary>A whole number; true is 1 and false 0.</summary>
    public static int? WholeNumber(this JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.True => 1,
        JsonValueKind.False => 0,
        JsonValueKind.Number when element.TryGetInt32(out var number) => number,
        _ => null,
    };

    /// <summary>A value as options of ONNX Runtime want it: null for none.</summary>
    public static string? OptionText(this JsonElement element) => element.ValueKind switch
    {
        _ when element.IsAbsent() => null,
        JsonValueKind.True => "True",
        JsonValueKind.False => "False",
        JsonValueKind.String => element.GetString(),
        _ => element.GetRawText(),
    };
}
