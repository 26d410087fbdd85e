import java.io.InputStream;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipInputStream;

/** Prints name, size and CRC of what each entry unpacks to: by the directory ("file"), or as it comes ("stream"). */
class Read {
    static final PrintStream OUT = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false, java.nio.charset.StandardCharsets.UTF_8);

    public static void main(String[] arguments) throws Exception {
        if (arguments[0].equals("file")) {
            try (ZipFile archive = new ZipFile(arguments[1])) {
                for (ZipEntry entry : List.copyOf(java.util.Collections.list(archive.entries()))) {
                    try (InputStream content = archive.getInputStream(entry)) {
                        print(entry.getName(), content);
                    }
                }
            }
        } else {
            try (ZipInputStream archive = new ZipInputStream(new java.io.BufferedInputStream(Files.newInputStream(Path.of(arguments[1])), 1 << 20))) {
                for (ZipEntry entry; (entry = archive.getNextEntry()) != null;) {
                    print(entry.getName(), archive);
                }
            }
        }
        OUT.flush();
    }

    static void print(String name, InputStream content) throws Exception {
        CRC32 crc = new CRC32();
        long size = 0;
        byte[] buffer = new byte[1 << 16];
        for (int count; (count = content.read(buffer)) > 0; size += count) {
            crc.update(buffer, 0, count);
        }
        OUT.println(name + " " + size + " " + HexFormat.of().toHexDigits((int) crc.getValue()));
    }
}
