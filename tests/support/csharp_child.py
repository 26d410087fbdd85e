"""Run by itself: compiles C# with Roslyn, as the JSON on standard input says, and prints the diagnostics as JSON.

Argument: folder of ``Microsoft.CodeAnalysis.CSharp.dll``. ``DOTNET_ROOT`` says where the runtime lies.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main(roslyn: Path) -> None:
    """A JSON list of lines as the compiler of .NET writes them; empty where nothing was to be said."""
    request = json.load(sys.stdin)
    config = Path(request["out"]).with_suffix(".compiler.json")
    config.write_text(json.dumps(request["runtimeconfig"]), encoding="utf-8")
    load: Any = importlib.import_module("pythonnet").load
    load("coreclr", dotnet_root=os.environ["DOTNET_ROOT"], runtime_config=str(config))
    clr: Any = importlib.import_module("clr")
    for name in ("Microsoft.CodeAnalysis", "Microsoft.CodeAnalysis.CSharp"):
        clr.AddReference(str(roslyn / name))
    json.dump(compiled(request), sys.stdout)


def compiled(request: dict[str, Any]) -> list[str]:
    """See ``support.dotnet.compile_csharp`` for what is asked."""
    system: Any = importlib.import_module("System")
    analysis: Any = importlib.import_module("Microsoft.CodeAnalysis")
    csharp: Any = importlib.import_module("Microsoft.CodeAnalysis.CSharp")
    text: Any = importlib.import_module("Microsoft.CodeAnalysis.Text")
    collections: Any = importlib.import_module("System.Collections.Generic")
    options = csharp.CSharpParseOptions.Default.WithLanguageVersion(csharp.LanguageVersion.CSharp10)
    trees = collections.List[analysis.SyntaxTree]()
    for source in request["sources"]:
        content = text.SourceText.From(Path(source).read_text("utf-8"), system.Text.Encoding.UTF8)
        trees.Add(csharp.SyntaxFactory.ParseSyntaxTree(content, options, source))
    references = collections.List[analysis.MetadataReference]()
    for reference in request["references"]:
        references.Add(analysis.MetadataReference.CreateFromFile(reference))
    kinds = analysis.OutputKind
    kind = kinds.ConsoleApplication if request["executable"] else kinds.DynamicallyLinkedLibrary
    nullable = (
        analysis.NullableContextOptions.Enable if request["nullable"] else analysis.NullableContextOptions.Disable
    )
    settings = csharp.CSharpCompilationOptions(kind).WithNullableContextOptions(nullable)
    settings = settings.WithAllowUnsafe(request["unsafe"]).WithDeterministic(True)
    settings = settings.WithWarningLevel(request["warning_level"])
    made = csharp.CSharpCompilation.Create(Path(request["out"]).stem, trees, references, settings)
    with_stream = system.IO.FileStream(request["out"], system.IO.FileMode.Create)
    try:
        result = made.Emit(with_stream)
    finally:
        with_stream.Dispose()
    return [str(each) for each in result.Diagnostics if str(each.Severity) in ("Warning", "Error")]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
