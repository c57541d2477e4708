"""Packs the reference cases that the tests need into this folder.

usage: pack_cases.py CASES FIXTURES OUT

CASES     the folder that make_cases.py and people wrote: CASES/GROUP/NAME/FILES
FIXTURES  the models and adapters with their logits: FIXTURES/NAME/FILES
OUT       gets GROUP.json, the files of each case, and GROUP.safetensors, the contents of their tensors

README.md describes the two files. Needs nothing but Python.
"""
import hashlib, json, os, struct, sys

CASES, FIXTURES, OUT = sys.argv[1:4]
GROUPS = ("fixtures", "arch", "methods", "layout", "quant", "reports", "lora")
EXTRACT = ("extract_tied", "extract_save_only", "extract_full", "extract_vocab", "gpt2_extract")
DERIVED = (*EXTRACT, "kohya_linear", "kohya_noalpha")
"""Cases of reports that no single merge shows."""

MERGED = ("lora", "dora")
"""Adapters of the fixtures whose merged tensors are kept; the logits show the others."""

MERGED_VERA = ("bert", "gpt2")
"""Fixtures whose merge of vera_seed is kept too: weights stored [out, in] and [in, out]."""

LARGE = 1e-2
"""PEFT's merged logits are further than this from its unmerged ones: its merge is wrong, and the logits are kept."""

SMALL = 1024
"""Bytes of a tensor that is kept in any case."""

PREFIXES = ("language_model.model.", "model.language_model.", "model.", "language_model.", "bert.", "transformer.")
"""Spellings of a name's beginning by which the files of a case may differ."""

BASE = "base/model.safetensors"
WIDTH = {"F32": 4, "BF16": 2, "F16": 2}


def read(path):
    with open(path, "rb") as f:
        return f.read()


def parsed(data):
    """Metadata and tensors (dtype, shape, bytes) of a safetensors file; None where written() would not give it back."""
    try:
        size = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8 : 8 + size])
        metadata = header.pop("__metadata__", None)
        tensors = {}
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            begin, end = entry["data_offsets"]
            tensors[name] = (entry["dtype"], entry["shape"], data[8 + size + begin : 8 + size + end])
    except (ValueError, KeyError, AttributeError, struct.error):
        return None
    return (metadata, tensors) if written(metadata, tensors) == data else None


def written(metadata, tensors):
    """A file as the safetensors library writes it."""
    header, at = {}, 0
    if metadata is not None:
        header["__metadata__"] = metadata
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + len(content)]}
        at += len(content)
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(content for _, _, content in tensors.values())


def cut(data):
    """Header and contents of a file that others wrote, in the order of their offsets; None if it is not whole."""
    try:
        size = struct.unpack("<Q", data[:8])[0]
        header = data[8 : 8 + size].decode()
        offsets = sorted(entry["data_offsets"] for name, entry in json.loads(header).items() if name != "__metadata__")
        contents = [data[8 + size + begin : 8 + size + end] for begin, end in offsets]
    except (ValueError, KeyError, AttributeError, TypeError, struct.error):
        return None
    whole = struct.pack("<Q", size) + header.encode() + b"".join(contents)
    return (header, contents) if contents and whole == data else None


def key_of(content):
    return hashlib.sha256(content).hexdigest()[:16]


def finite(dtype, content):
    step = WIDTH[dtype]
    high = {"F32": (3, 2, 0x7F80), "BF16": (1, 0, 0x7F80), "F16": (1, 0, 0x7C00)}[dtype]
    first, second, exponent = high
    return all(
        (content[i + first] << 8 | content[i + second]) & exponent != exponent for i in range(0, len(content), step)
    )


def files_of(group, folder):
    """Relative path and content of the files of a case that the tests read."""
    description = os.path.join(folder, "case.json")
    info = json.loads(read(description)) if os.path.exists(description) else {}
    for at, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            path = os.path.relpath(os.path.join(at, name), folder)
            content = read(os.path.join(at, name))
            if group == "fixtures":
                if path.endswith("merged/model.safetensors"):
                    adapter = path.split("/")[0]
                    vera = adapter == "vera_seed" and os.path.basename(folder) in MERGED_VERA
                    if adapter not in MERGED and not vera:
                        continue
                    content = first_layer(content)
                elif path == "io.safetensors":
                    content = only(content, lambda name: not name.endswith(".merged_logits"))
                elif path == "case.safetensors":
                    content = rounded(content)
            elif path == "io.safetensors":
                if (info.get("alone") or 0) <= LARGE:
                    continue
                content = only(content, lambda name: name.startswith("in.") or name == "adapter.logits")
            elif path.endswith(".bin"):
                content = content[:SMALL]  # a pickle is refused unread
            elif path.startswith("merged/") and not path.endswith((".safetensors", ".json")):
                continue
            yield path, content


def only(content, chosen):
    metadata, tensors = parsed(content)
    return written(metadata, {name: tensor for name, tensor in tensors.items() if chosen(name)})


def first_layer(content):
    """Tensors outside of layers and of the first one: the second is like it, and the logits show both."""
    return only(content, lambda name: ".1." not in name)


def rounded(content):
    """Float64 tensors as the float32 in which they are compared."""
    metadata, tensors = parsed(content)
    for name, (dtype, shape, data) in tensors.items():
        if dtype == "F64":
            values = struct.unpack(f"<{len(data) // 8}d", data)
            tensors[name] = ("F32", shape, struct.pack(f"<{len(values)}f", *values))
    return written(metadata, tensors)


def one_large(name):
    """All of the small projections, and one of the large ones."""
    return ".r8." not in name or name.startswith("key2147483653.")


def cases():
    for group in GROUPS:
        root = FIXTURES if group == "fixtures" else os.path.join(CASES, group)
        for name in sorted(os.listdir(root)):
            folder = os.path.join(root, name)
            if not os.path.isdir(folder):
                if group == "fixtures" and name.endswith(".safetensors"):
                    yield group, f"fixtures/{name[:-12]}", [(name, only(read(folder), one_large))]
                continue
            if group == "reports" and name not in DERIVED and not os.path.exists(os.path.join(folder, "adapter")):
                continue
            if group == "reports" and name.startswith("arch_"):
                continue  # as in arch
            yield group, f"{group}/{name}", list(files_of(group, folder))


def bare(name):
    return next((name[len(prefix) :] for prefix in PREFIXES if name.startswith(prefix)), name)


def fillable(packed):
    """Contents that no check reads but to see that merging leaves them unchanged: only bases hold them."""
    may, needed = set(), set()
    for group, _, files in packed:
        base, merged, others = {}, {}, set()
        for path, content in files:
            file = parsed(content) if path.endswith(".safetensors") else None
            for name, (dtype, _, data) in file[1].items() if file else ():
                part = {"base": base, "merged": merged}.get(path.split("/")[0])
                if part is None or dtype not in WIDTH or len(data) < SMALL or not finite(dtype, data):
                    others.add(data)
                else:
                    part[bare(name)] = data
        read_whole = group in ("fixtures", "quant", "reports") or any(path == "io.safetensors" for path, _ in files)
        # merged tensors that have other names may be any of the base's of their size
        sizes = {len(data) for name, data in merged.items() if name not in base}
        changed = {
            data
            for name, data in base.items()
            if read_whole or len(data) in sizes or merged.get(name, data) != data
        }
        needed |= others | changed | (set(merged.values()) - set(base.values()))
        may |= set(base.values())
    return may - needed


def tensors_entry(path, metadata, tables):
    """The description of a file, shorter where it has the tensors of the base."""
    entry = {} if metadata is None else {"metadata": metadata}
    table = tables[path]
    base = tables.get(BASE, {})
    if path != BASE and base and list(base) == list(table):
        entry["like"] = BASE
        table = {tensor: text for tensor, text in table.items() if base[tensor] != text}
    entry["tensors"] = table
    return entry


def main():
    packed = list(cases())
    filled = fillable(packed)
    known, descriptions = set(), {}
    for group in GROUPS:
        pool, described = {}, {}
        def keep(content):
            key = key_of(content)
            if content not in filled and key not in known:
                pool[key] = content
                known.add(key)
            return f"fill:{key}" if content in filled else key

        for _, name, files in (each for each in packed if each[0] == group):
            entries, tables = {}, {}
            for path, content in files:
                file = parsed(content)
                other = None if file else cut(content)
                if file:
                    tables[path] = {
                        tensor: f"{dtype} {shape} {keep(data)}" for tensor, (dtype, shape, data) in file[1].items()
                    }
                    entry = tensors_entry(path, file[0], tables)
                elif other:
                    entry = {"header": other[0], "contents": [keep(data) for data in other[1]]}
                else:
                    try:
                        entry = {"text": content.decode()}
                    except UnicodeDecodeError:
                        entry = {"bytes": keep(content)}
                identity = json.dumps(entry)
                first = descriptions.setdefault((group, identity), f"{name}/{path}")
                if first != f"{name}/{path}" and "like" not in entry and len(identity) > 100:
                    entry = {"same": first}
                entries[path] = entry
            described[name] = entries
        with open(os.path.join(OUT, f"{group}.json"), "w", encoding="utf-8", newline="\n") as f:
            json.dump(described, f, indent=1, ensure_ascii=False)
            f.write("\n")
        tensors = {key: ("U8", [len(data)], data) for key, data in sorted(pool.items())}
        with open(os.path.join(OUT, f"{group}.safetensors"), "wb") as f:
            f.write(written(None, tensors))


main()
