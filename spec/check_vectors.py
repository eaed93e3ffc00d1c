#!/usr/bin/env python3
"""Checks vectors.json against click-url-v1.md, from its text alone, with the standard library only.

Usage: check_vectors.py [vectors.json]. Exit code 0 if every vector agrees, 1 if one does not.
The first half of the file is what an ad server needs to mint links.
"""
import base64
import hashlib
import hmac
import ipaddress
import json
import os
import re
import sys
import uuid

# --- minting, sections 1 to 3 ---------------------------------------------------------------


def varint(number):
    out = bytearray()
    while number >= 128:
        out.append(number % 128 + 128)
        number //= 128
    out.append(number)
    return bytes(out)


def string(text):
    return varint(len(text.encode())) + text.encode()


def body_of(link):
    price, lpurl = link["price_micros"], link["lpurl"]
    flags = link["test"] + 2 * (price is not None) + 4 * (lpurl is not None) + 8 * link["escaping"]
    body = b"\x01" + varint(link["key"]) + bytes([flags]) + uuid.UUID(link["nonce"]).bytes
    numbers = ["window_s", "expires_at_ms"]
    numbers += ["advertiser", "campaign", "ad", "publisher", "placement"]
    for name in numbers:
        body += varint(int(link[name]))
    if price is not None:
        body += varint(int(price))
    body += string(link["destination"])
    if lpurl is not None:
        body += string(lpurl)
    return body


def tag_of(secret, body):
    message = b"\x08\x00click:v1" + len(body).to_bytes(2, "little") + body
    return hmac.new(secret, message, hashlib.sha256).digest()[:16]


def sign(link, secret):
    body = body_of(link)
    return base64.urlsafe_b64encode(body + tag_of(secret, body)).rstrip(b"=").decode()


def nonce_of(at_ms, impression_id):
    hashed = int.from_bytes(hashlib.sha256(impression_id.encode()).digest()[:10], "big") >> 6
    bits = at_ms << 80 | 7 << 76 | hashed >> 62 << 64 | 2 << 62 | hashed % (1 << 62)
    return str(uuid.UUID(int=bits))


# --- opening, section 2 ---------------------------------------------------------------------


class Refused(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        if count > len(self.data):
            raise Refused("malformed")
        head, self.data = self.data[:count], self.data[count:]
        return head

    def varint(self, bits):
        number = shift = 0
        while True:
            byte = self.take(1)[0]
            number |= byte % 128 << shift
            if byte < 128:
                break
            shift += 7
        if number >= 1 << bits or (byte == 0 and shift > 0):
            raise Refused("malformed")
        return number

    def string(self):
        length = self.varint(64)
        if length > 2048:
            raise Refused("malformed")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise Refused("malformed") from None


def unbase64(token):
    if not re.fullmatch(r"[A-Za-z0-9_-]*", token, re.ASCII) or len(token) % 4 == 1:
        raise Refused("malformed")
    data = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != token:
        raise Refused("malformed")
    return data


def head(reader):
    if reader.take(1) != b"\x01":
        raise Refused("malformed")
    return reader.varint(32)


def link_of(body):
    reader = Reader(body)
    link = {"key": head(reader)}
    flags = reader.take(1)[0]
    if flags > 31 or flags >> 3 > 2:
        raise Refused("malformed")
    nonce = uuid.UUID(bytes=reader.take(16))
    if nonce.version != 7 or nonce.variant != uuid.RFC_4122:
        raise Refused("malformed")
    link["nonce"] = str(nonce)
    link["window_s"] = reader.varint(32)
    link["expires_at_ms"] = reader.varint(48)
    link["advertiser"] = reader.varint(32)
    link["campaign"] = str(reader.varint(64))
    link["ad"] = str(reader.varint(64))
    link["publisher"] = reader.varint(32)
    link["placement"] = str(reader.varint(64))
    link["price_micros"] = str(reader.varint(63)) if flags & 2 else None
    link["test"] = bool(flags & 1)
    link["escaping"] = flags >> 3
    link["destination"] = reader.string()
    link["lpurl"] = reader.string() if flags & 4 else None
    if reader.data:
        raise Refused("malformed")
    return link


def open_token(token, keys, now):
    data = unbase64(token)
    if len(data) < 16:
        raise Refused("malformed")
    body, tag = data[:-16], data[-16:]
    key = keys.get(head(Reader(body)))
    if key is None:
        raise Refused("unknown_key")
    if not hmac.compare_digest(tag, tag_of(bytes.fromhex(key["secret"]), body)):
        raise Refused("tag")
    if key["revoked_at_ms"] is not None and now >= key["revoked_at_ms"]:
        raise Refused("revoked")
    if now < key["not_before_ms"]:
        raise Refused("not_yet_valid")
    if now > key["not_after_ms"]:
        raise Refused("no_longer_valid")
    link = link_of(body)
    if key["advertisers"] != "all" and link["advertiser"] not in key["advertisers"]:
        raise Refused("scope")
    lifetime = link["expires_at_ms"] - (uuid.UUID(link["nonce"]).int >> 80)
    if not 1 <= link["window_s"] <= 2_592_000 or not 1 <= lifetime <= 34_560_000_000:
        raise Refused("limit")
    if ("{lpurl}" in link["destination"]) != (link["lpurl"] is not None):
        raise Refused("limit")
    for destination in filter(lambda text: text is not None, [link["destination"], link["lpurl"]]):
        check_destination(destination)
    if now > link["expires_at_ms"]:
        raise Refused("expired")
    return link, link["test"] or key["test"]


# --- destinations, the rules marked (E) of section 4 ----------------------------------------

PLAIN = r"A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=|{}-"
ESCAPE = r"%(?:[2-6][0-9A-Fa-f]|7[0-9A-Ea-e]|[89A-Fa-f][0-9A-Fa-f])"
DESTINATION = re.compile(
    rf"(https?)://(?=(?:[{PLAIN}]|{ESCAPE})*\Z)([^/?#@{{}}]*)(?:[/?#].*)?", re.ASCII
)
AUTHORITY = re.compile(r"(\[[^\]%]*\]|[^:\[\]]*)(?::([1-9][0-9]{0,4}))?", re.ASCII)


def check_destination(text):
    shape = DESTINATION.fullmatch(text)
    authority = shape and AUTHORITY.fullmatch(shape[2])
    if len(text) > 2048 or not authority or int(authority[2] or 1) > 65535:
        raise Refused("destination")
    host = authority[1]
    labels = host.split(".")
    try:
        if host.startswith("["):
            ipaddress.IPv6Address(host[1:-1])
        elif re.fullmatch(r"[0-9]*|0[xX][0-9A-Fa-f]*", labels[-1]):
            ipaddress.IPv4Address(host)
        elif len(host) > 253 or not all(re.fullmatch(r"[A-Za-z0-9_-]{1,63}", it) for it in labels):
            raise ValueError(host)
    except ValueError:
        raise Refused("destination") from None


# --- query and macros, sections 5 and 6 -----------------------------------------------------

SUBS = ["sub1", "sub2", "sub3", "sub4", "sub5"]
PLATFORMS = "gclid dclid gbraid wbraid fbclid twclid msclkid".split()
PLATFORMS += "li_fat_id rdclid ttclid yclid epik".split()
SIGNED = """alg version key nonce window expires advertiser campaign ad publisher placement price
test escaping destination lpurl""".split()


def unescape(data):
    data = data.replace(b"+", b" ")
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), data)


def read_query(query):
    kept = {}
    for parameter in query.encode().split(b"&"):
        name, _, value = parameter.partition(b"=")
        name, value = unescape(name).decode("latin-1"), unescape(value)
        if name.lower() in SIGNED:
            raise Refused(name.lower())
        if name in kept:
            continue
        room = min(256, 1024 - sum(map(len, kept.values())))
        if name in SUBS:
            kept[name] = value[:room]
        elif name in PLATFORMS and len(value) <= room:
            kept[name] = value
    return kept


def escaped(value, level):
    value = bytes(byte for byte in value if byte >= 32 and byte != 127)
    kept = rb"[A-Za-z0-9._~-]" if level else rf"[{PLAIN}]|{ESCAPE}".encode()

    def write(found):
        if re.fullmatch(kept, found[0]):
            return found[0]
        return b"".join(b"%%%02X" % byte for byte in found[0])

    pieces = re.sub(ESCAPE.encode() + rb"|(?s:.)" if level == 0 else rb"(?s:.)", write, value)
    return pieces.replace(b"%", b"%25") if level == 2 else pieces


def expand(link, click_id, kept):
    values = {name: b"" for name in SUBS + PLATFORMS}
    values |= kept | {"click_id": click_id.encode(), "lpurl": (link["lpurl"] or "").encode()}
    numbered = ["campaign", "ad", "publisher", "placement"]
    values |= {name: str(link[name]).encode() for name in numbered}

    def replace(found):
        value = values.get(found[1].decode())
        return found[0] if value is None else escaped(value, link["escaping"])

    return re.sub(rb"\{([a-z0-9_]+)\}", replace, link["destination"].encode()).decode()


# --- the vectors ----------------------------------------------------------------------------


def outcome(action):
    try:
        return action()
    except Refused as refused:
        return str(refused)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "vectors.json")
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    keys = {key["key"]: key for key in vectors["keys"]}
    wrong = []

    def expect(what, found, expected):
        if found != expected:
            wrong.append(f"{what}: found {found!r}, expected {expected!r}")

    for vector in vectors["signed"]:
        name, link = vector["name"], vector["link"]
        expect(name + ": body", body_of(link).hex(), vector["body_hex"])
        secret = bytes.fromhex(keys[link["key"]]["secret"])
        expect(name + ": token", sign(link, secret), vector["token"])
        opened = outcome(lambda: open_token(vector["token"], keys, vector["now_ms"]))
        expect(name, opened, (link, vector["test"]))
        location = outcome(lambda: expand(link, vectors["click_id"], read_query(vector["query"])))
        expect(name + ": location", location, vector["location"])
    for vector in vectors["refused"]:
        reason = outcome(lambda: open_token(vector["token"], keys, vector["now_ms"]))
        expect(vector["name"], reason, vector["reason"])
        expect(vector["name"] + ": status", 410 if reason == "expired" else 403, vector["status"])
    for vector in vectors["queries"]:
        kept = outcome(lambda: {name: it.hex() for name, it in read_query(vector["query"]).items()})
        expect(vector["query"], kept, vector.get("kept", vector.get("refused")))
    for vector in vectors["nonces"]:
        expect(vector["id"], nonce_of(vector["at_ms"], vector["id"]), vector["nonce"])

    counts = [f"{len(vectors[part])} {part}" for part in ["signed", "refused", "queries", "nonces"]]
    print(", ".join(counts) + f": {len(wrong)} wrong", *wrong, sep="\n")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
