"""Recomputes the golden ids of docs/format.md from that document alone, without any library.

Usage: golden.py docs/format.md
"""

import json
import sys

# BLAKE3, from its published description: chunks of 1024 bytes in blocks of 64, a binary tree above them.
MASK = 0xFFFFFFFF
IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
LANES = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
         (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))
CHUNK_START, CHUNK_END, PARENT, ROOT = 1, 2, 4, 8
BLOCK, CHUNK = 64, 1024


def mixed(state, lane, words):
    a, b, c, d = lane
    for word, first, second in zip(words, (16, 8), (12, 7)):
        state[a] = (state[a] + state[b] + word) & MASK
        turned = state[d] ^ state[a]
        state[d] = (turned >> first | turned << (32 - first)) & MASK
        state[c] = (state[c] + state[d]) & MASK
        turned = state[b] ^ state[c]
        state[b] = (turned >> second | turned << (32 - second)) & MASK


def compressed(chain, block, counter, flags):
    words = [int.from_bytes(block[at:at + 4].ljust(4, b"\0"), "little") for at in range(0, BLOCK, 4)]
    state = [*chain, *IV[:4], counter & MASK, counter >> 32, len(block), flags]
    for _ in range(7):
        for number, lane in enumerate(LANES):
            mixed(state, lane, words[2 * number:2 * number + 2])
        words = [words[at] for at in PERMUTATION]
    return tuple(low ^ high for low, high in zip(state[:8], state[8:]))


def chunk(data, counter, last):
    blocks = [data[at:at + BLOCK] for at in range(0, len(data), BLOCK)] or [b""]
    chain = IV
    for number, block in enumerate(blocks):
        flags = CHUNK_START if number == 0 else 0
        if number == len(blocks) - 1:
            flags |= CHUNK_END | last
        chain = compressed(chain, block, counter, flags)
    return chain


def hashed(data, first=0, last=ROOT):
    """The words of a subtree whose first chunk has the number `first`."""
    chunks = max(1, -(-len(data) // CHUNK))
    if chunks == 1:
        return chunk(data, first, last)
    # The left side is the largest power of two that leaves something for the right one.
    left = 1 << (chunks - 1).bit_length() - 1
    sides = hashed(data[:left * CHUNK], first, 0) + hashed(data[left * CHUNK:], first + left, 0)
    block = b"".join(word.to_bytes(4, "little") for word in sides)
    return compressed(IV, block, 0, PARENT | last)


def blake3(*parts):
    return b"".join(word.to_bytes(4, "little") for word in hashed(b"".join(parts)))


# The encoding, from section 1 of the document.
def integer(value, size):
    return value.to_bytes(size, "little", signed=value < 0)


def text(value):
    data = value.encode()
    return integer(len(data), 2) + data


def option(value, encode):
    return b"\0" if value is None else b"\1" + encode(value)


def names(values):
    return integer(len(values), 2) + b"".join(map(text, values))


def masks(values):
    if not values:
        return b""
    rows = (bytes.fromhex(mask["entry"]) + integer(mask["saved_tokens"], 4) for mask in values)
    return integer(len(values), 2) + b"".join(rows)


def entry_id(vector):
    body = (vector["body"] * vector["repeat"]).encode()
    nonce = bytes([vector["nonce_byte"]]) * 16
    commitment = blake3(b"treering/content/1\0", nonce, text(vector["format"]), integer(len(body), 8), body)
    envelope = b"".join((
        integer(2 if vector.get("masks") else 1, 1),
        integer(vector["kind"], 2),
        integer(vector["at_ms"], 8),
        option(vector.get("parent"), bytes.fromhex),
        option(vector.get("target"), bytes.fromhex),
        option(vector.get("alias"), text),
        option(vector.get("slot"), text),
        names(vector.get("calls", [])),
        names(vector.get("answers", [])),
        masks(vector.get("masks", [])),
    ))
    return blake3(b"treering/entry/1\0", envelope, commitment).hex()


def main():
    with open(sys.argv[1], encoding="utf-8") as document:
        vectors = [json.loads(line) for line in document if line.startswith('{"id"')]
    for vector in vectors:
        found = entry_id(vector)
        if found != vector["id"]:
            sys.exit(f"expected {vector['id']}, found {found} for {vector}")
    print(f"{len(vectors)} ids are right")


main()
