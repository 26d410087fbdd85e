using System;
using System.IO;
using System.IO.Compression;
using System.Text;

// Prints name, size and CRC of what each entry unpacks to. The CRC is our own: .NET checks none that it reads.
static class Read
{
    static void Main(string[] arguments)
    {
        uint[] table = Table();
        using StreamWriter output = new(Console.OpenStandardOutput(), new UTF8Encoding(false));
        using ZipArchive archive = ZipFile.OpenRead(arguments[0]);
        byte[] buffer = new byte[1 << 16];
        foreach (ZipArchiveEntry entry in archive.Entries)
        {
            using Stream content = entry.Open();
            uint crc = 0xFFFFFFFF;
            long size = 0;
            for (int count; (count = content.Read(buffer, 0, buffer.Length)) > 0; size += count)
            {
                for (int at = 0; at < count; at++)
                {
                    crc = table[(crc ^ buffer[at]) & 0xFF] ^ (crc >> 8);
                }
            }
            output.WriteLine($"{entry.FullName} {size} {~crc:x8}");
        }
    }

    static uint[] Table()
    {
        uint[] table = new uint[256];
        for (uint number = 0; number < 256; number++)
        {
            uint value = number;
            for (int bit = 0; bit < 8; bit++)
            {
                value = (value & 1) == 1 ? 0xEDB88320 ^ (value >> 1) : value >> 1;
            }
            table[number] = value;
        }
        return table;
    }
}
