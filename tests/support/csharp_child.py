"""Run by itself: compiles C# with Roslyn. One request a line on standard input, one answer a line on standard output.

Arguments: folder of ``Microsoft.CodeAnalysis.CSharp.dll``, and the configuration to start the runtime with, whose
folder ``DOTNET_ROOT`` names. Requests and answers are JSON; ``support.dotnet.Compiler`` says what is in them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any


def main(roslyn: str, config: str) -> None:
    """Answers each request with what the compiler said, a list of lines; empty where it had nothing to say."""
    load: Any = importlib.import_module("pythonnet").load
    load("coreclr", dotnet_root=os.environ["DOTNET_ROOT"], runtime_config=config)
    clr: Any = importlib.import_module("clr")
    for name in ("Microsoft.CodeAnalysis", "Microsoft.CodeAnalysis.CSharp"):
        clr.AddReference(str(Path(roslyn) / name))
    for line in sys.stdin:
        sys.stdout.write(json.dumps(compiled(json.loads(line))) + "\n")
        sys.stdout.flush()


def compiled(request: dict[str, Any]) -> list[str]:
    """Errors and warnings as the compiler of .NET writes them."""
    system: Any = importlib.import_module("System")
    analysis: Any = importlib.import_module("Microsoft.CodeAnalysis")
    csharp: Any = importlib.import_module("Microsoft.CodeAnalysis.CSharp")
    text: Any = importlib.import_module("Microsoft.CodeAnalysis.Text")
    collections: Any = importlib.import_module("System.Collections.Generic")
    parsing = csharp.CSharpParseOptions.Default.WithLanguageVersion(csharp.LanguageVersion.CSharp10)
    trees = collections.List[analysis.SyntaxTree]()
    for source in request["sources"]:
        content = text.SourceText.From(Path(source).read_text("utf-8"), system.Text.Encoding.UTF8)
        trees.Add(csharp.SyntaxFactory.ParseSyntaxTree(content, parsing, source))
    references = collections.List[analysis.MetadataReference]()
    for reference in request["references"]:
        references.Add(analysis.MetadataReference.CreateFromFile(reference))
    kinds, nullables = analysis.OutputKind, analysis.NullableContextOptions
    kind = kinds.ConsoleApplication if request["program"] else kinds.DynamicallyLinkedLibrary
    options = csharp.CSharpCompilationOptions(kind).WithAllowUnsafe(not request["program"]).WithDeterministic(True)
    options = options.WithNullableContextOptions(nullables.Enable if request["program"] else nullables.Disable)
    options = options.WithWarningLevel(6 if request["program"] else 0)
    made = csharp.CSharpCompilation.Create(Path(request["out"]).stem, trees, references, options)
    stream = system.IO.FileStream(request["out"], system.IO.FileMode.Create)
    try:
        result = made.Emit(stream)
    finally:
        stream.Dispose()
    return [str(each) for each in result.Diagnostics if str(each.Severity) in ("Warning", "Error")]


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
