"""docs/README.md leads to every document."""

from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_index_names_every_document():
    index = (DOCS / "README.md").read_text()
    documents = {path.name for path in DOCS.glob("*.md")} - {"README.md"}
    assert [name for name in sorted(documents) if f"]({name})" not in index] == []
    assert all(f"]({folder.name}/)" in index for folder in DOCS.iterdir() if folder.is_dir())
