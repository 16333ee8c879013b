#!/usr/bin/env python3
"""Writes the vectors of signed codes that stand beside it.

It shares nothing with the program that reads them: its own CBOR, its own base45,
and OpenSSL's signatures through python3-cryptography. The keys are published test
keys or made from a word. Run it in its folder; the files do not change.
"""
import datetime, hashlib, json, os, zlib
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

# ---- CBOR, deterministic unless told otherwise

def head(major, n):
    for size, info in ((0, 24), (1, 24), (2, 25), (4, 26), (8, 27)):
        if size == 0 and n < 24:
            return bytes([major << 5 | n])
        if size and n < 1 << 8 * size:
            return bytes([major << 5 | info]) + n.to_bytes(size, "big")

class Raw(bytes):
    """CBOR that is written already."""

def cbor(v):
    if isinstance(v, Raw): return bytes(v)
    if v is True: return b"\xf5"
    if v is False: return b"\xf4"
    if isinstance(v, int): return head(0, v) if v >= 0 else head(1, -1 - v)
    if isinstance(v, bytes): return head(2, len(v)) + v
    if isinstance(v, str): return head(3, len(v.encode())) + v.encode()
    if isinstance(v, list): return head(4, len(v)) + b"".join(map(cbor, v))
    if isinstance(v, dict):
        pairs = sorted((cbor(k), cbor(x)) for k, x in v.items())
        return head(5, len(pairs)) + b"".join(k + x for k, x in pairs)
    raise TypeError(v)

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

def base45(data):
    out = ""
    for i in range(0, len(data), 2):
        group = data[i:i + 2]
        n = int.from_bytes(group, "big")
        for _ in range(len(group) + 1):
            out += ALPHABET[n % 45]
            n //= 45
    return out

def code(raw): return "DS1:" + base45(raw)

# ---- keys and signatures

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

class Ed:
    alg = -8
    def __init__(self, seed): self.key = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    def sign(self, data): return self.key.sign(data)
    def cose(self):
        x = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {1: 1, -1: 6, -2: x}

class Es:
    alg = -7
    def __init__(self, d, high=False, salt=False):
        self.key, self.high, self.salt = ec.derive_private_key(d, ec.SECP256R1()), high, salt
    def sign(self, data):
        how = ec.ECDSA(hashes.SHA256(), deterministic_signing=not self.salt)
        r, s = decode_dss_signature(self.key.sign(data, how))
        if (s > N // 2) != self.high: s = N - s
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
    def cose(self):
        p = self.key.public_key().public_numbers()
        return {1: 2, -1: 1, -2: p.x.to_bytes(32, "big"), -3: p.y & 1 == 1}

def named(word): return hashlib.sha256(b"test key " + word.encode()).digest()

D = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721  # RFC 6979, A.2.5
SH = Ed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))  # RFC 8032, test 1
SH2, SHHIGH = Es(D), Es(D, high=True)
HOUSE, OLD, STOLEN, STRANGER = Ed(named("house")), Ed(named("old")), Ed(named("stolen")), Ed(named("stranger"))
DEVICE, OTHER = Ed(named("device")), Ed(named("other device"))
CHIP, CHIPHIGH = Es(int.from_bytes(named("chip"), "big") % N), Es(int.from_bytes(named("chip"), "big") % N, high=True)

def sign1(key, payload, kid=None, alg=None, protected=None, unprotected=Raw(b"\xa0"), tag=b"\xd2", sig=None):
    if protected is None:
        protected = {1: alg or key.alg}
        if kid is not None: protected[4] = kid
    p = cbor(protected)
    if sig is None: sig = key.sign(cbor(["Signature1", p, b"", payload]))
    return tag + cbor([p, unprotected, payload, sig])

def show(device, inner, at, **how): return sign1(device, cbor([at, inner]), **how)

# ---- claims

def unix(text): return int(datetime.datetime.fromisoformat(text).timestamp())

NOW = unix("2026-11-24T08:00:00+00:00")
IAT, DAY, HOUR = NOW - 3600, 86400, 3600
ID, PERSON = bytes(range(1, 9)), bytes(range(8, 0, -1))
OWN = -65537
GREEN, YELLOW, RED = 1 << 5 | 31, 2 << 5 | 31, 3 << 5 | 31

def claims(kind, own=(), drop=(), **top):
    o = {"paper": {1: 1, 2: PERSON, 3: 1234567, 4: "王*", 5: "002X"},
         "bearer": {1: 2, 2: PERSON, 4: "王*", 5: "002X", 6: GREEN, 7: IAT - 12 * HOUR},
         "phone": {1: 3, 2: PERSON, 4: "王*", 5: "002X", 6: GREEN, 7: IAT - 12 * HOUR},
         "pass": {1: 4, 4: "王*", 8: "v-1", 9: "h-20417"}}[kind]
    o.update(own)
    c = {1: "sh", 4: IAT + (180 * DAY if kind == "paper" else DAY), 6: IAT, 7: ID}
    if kind == "phone": c[8] = {1: DEVICE.cose()}
    if kind == "pass": c[5], c[4] = IAT, IAT + 8 * HOUR
    for k, v in top.items(): c[{"iss": 1, "exp": 4, "nbf": 5, "iat": 6, "cti": 7, "cnf": 8}[k]] = v
    for k in drop: (o if isinstance(k, str) else c).pop(int(k))
    c[OWN] = o
    return c

def issued(kind, key=SH, kid=b"sh-1", how=(), **c): return sign1(key, cbor(claims(kind, **c)), kid, **dict(how))
def paper(**c): return issued("paper", **c)
def phone(at=NOW, device=DEVICE, showing=(), **c): return show(device, issued("phone", **c), at, **dict(showing))
def payload(raw, key=SH, kid=b"sh-1", **how): return sign1(key, raw, kid, **how)

def iso(t): return datetime.datetime.fromtimestamp(t, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

count = 0

def vector(name, expect, text, lo=NOW, hi=NOW, why="", seen=False):
    global count
    count += 1
    if isinstance(text, bytes): text = code(text)
    lines = ["# " + line for line in [name] + ([why] if why else [])]
    lines += ["expect: " + expect, "lo: " + iso(lo), "hi: " + (iso(hi) if hi else "unbounded")]
    if seen: lines.append("seen: yes")
    with open(name.replace(" ", "-").replace(",", "") + ".code", "w") as f:
        f.write("\n".join(lines + ["code: " + text]) + "\n")

for old in os.listdir("."):
    if old.endswith(".code"): os.remove(old)

pem = lambda k: k.key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
json.dump({
    "sh-1": {"name": "sh", "key": pem(SH)},
    "sh-2": {"name": "sh", "key": pem(SH2), "not_before": "2026-01-01T00:00:00Z", "not_after": "2028-01-01T00:00:00Z"},
    "house": {"name": "tower", "key": pem(HOUSE), "kinds": ["pass"]},
    "old": {"name": "sh", "key": pem(OLD), "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-11-24T07:30:00Z"},
    "stolen": {"name": "sh", "key": pem(STOLEN), "revoked": True},
    "js": {"name": "js", "key": pem(Ed(named("js"))), "region": "jiangsu"},
}, open("keys.json", "w"), indent=2, ensure_ascii=False)
json.dump({"codes": {"sh": ["ffffffffffffffff"]}, "floors": {"sh": {"f0f0f0f0f0f0f0f0": iso(IAT)}}}, open("revoked.json", "w"), indent=2)

# ---- good ones
vector("paper", "ok", paper())
vector("paper by ES256", "ok", paper(key=SH2, kid=b"sh-2"))
vector("paper with an id of 16 bytes", "ok", paper(cti=bytes(16)))
vector("bearer", "ok", issued("bearer"))
vector("bearer with an index", "ok", issued("bearer", own={3: 0}))
vector("phone", "ok", phone())
vector("phone without a test", "ok", phone(drop=("7",)))
vector("phone by ES256 twice", "ok", phone(key=SH2, kid=b"sh-2", device=CHIP, cnf={1: CHIP.cose()}))
vector("pass", "ok", issued("pass", key=HOUSE, kid=b"house", iss="tower"))
vector("pass without a name", "ok", issued("pass", drop=("4",)))
vector("phone of Jiangsu", "ok", phone(key=Ed(named("js")), kid=b"js", iss="js"))

# ---- who signed
vector("a stranger under a trusted key id", "credential-invalid", paper(key=STRANGER))
vector("a key id of nobody", "credential-invalid", paper(kid=b"sh-9"))
vector("no key id", "credential-invalid", paper(kid=None))
vector("the key of another issuer", "credential-invalid", paper(iss="tower"))
vector("a health code by a key for passes", "credential-invalid", phone(key=HOUSE, kid=b"house", iss="tower"))
vector("a withdrawn key", "credential-revoked", paper(key=STOLEN, kid=b"stolen"))
vector("issued before the key's time", "credential-invalid", paper(key=SH2, kid=b"sh-2", iat=unix("2025-12-31T23:59:59+00:00"), exp=NOW + DAY))
vector("issued after the key's time", "credential-invalid", paper(key=OLD, kid=b"old", iat=NOW - 1))
vector("the key's time is over", "credential-expired", paper(key=OLD, kid=b"old"))
vector("a bit of the claims flipped", "credential-invalid", paper().replace(b"002X", b"003X"))
vector("a signature of zeros", "credential-invalid", payload(cbor(claims("paper")), sig=bytes(64)))
vector("an empty signature", "credential-invalid", payload(cbor(claims("paper")), sig=b""))
vector("ES256 with a high s", "credential-invalid", paper(key=SHHIGH, kid=b"sh-2"))
vector("ES256 said of an Ed25519 key", "credential-invalid", paper(how={"alg": -7}))
vector("EdDSA said of a P-256 key", "credential-invalid", paper(key=SH2, kid=b"sh-2", how={"alg": -8}))
vector("no algorithm", "credential-invalid", paper(how={"protected": {4: b"sh-1"}}))
vector("a key id in text", "credential-invalid", paper(kid="sh-1"))
vector("a critical header", "credential-invalid", paper(how={"protected": {1: -8, 2: [4], 4: b"sh-1"}}))
vector("a header that is not protected", "credential-invalid", paper(how={"unprotected": {4: b"sh-1"}}))

# ---- the phone
vector("another phone", "credential-invalid", phone(device=OTHER))
vector("the phone's high s", "credential-invalid", phone(device=CHIPHIGH, cnf={1: CHIP.cose()}))
vector("a phone code that no phone has signed", "credential-invalid", issued("phone"))
vector("a bearer code in a phone's wrapping", "credential-invalid", show(DEVICE, issued("bearer"), NOW))
vector("a phone code wrapped twice", "credential-invalid", show(DEVICE, phone(), NOW))
vector("a wrapping with a key id", "credential-invalid", phone(showing={"kid": b"sh-1"}))
vector("a P-256 key that is no point", "credential-invalid", phone(cnf={1: {1: 2, -1: 1, -2: bytes(31) + b"\x01", -3: True}}), why="1 is no x of a point of P-256")
vector("a phone's key of no curve", "credential-invalid", phone(cnf={1: {1: 1, -1: 4, -2: bytes(32)}}))
vector("a phone's time of 0", "credential-invalid", phone(at=0))

# ---- spelling
good = cbor(claims("paper"))
vector("the last byte missing", "credential-invalid", paper()[:-1])
vector("the last character missing", "credential-invalid", code(paper())[:-1])
vector("half of it", "credential-invalid", code(paper())[:110])
vector("a byte after the code", "credential-invalid", paper() + b"\x00")
vector("a byte after the claims", "credential-invalid", payload(good + b"\x00"))
vector("a claim twice", "credential-invalid", payload(head(5, 6) + good[1:5] + good[1:]), why="iss stands there twice, with the same value")
vector("own claims twice", "credential-invalid", payload(good.replace(b"\xa5\x01\x01\x02", b"\xa6\x01\x01\x01\x01\x02")))
vector("claims of indefinite length", "credential-invalid", payload(b"\xbf" + good[1:] + b"\xff"))
vector("a text in pieces", "credential-invalid", payload(good.replace(cbor("sh"), b"\x7f\x61s\x61h\xff")))
vector("a number longer than needed", "credential-invalid", payload(good.replace(head(0, IAT), b"\x1b" + IAT.to_bytes(8, "big"))))
vector("claims out of order", "credential-invalid", payload(good[:1] + good[5:11] + good[1:5] + good[11:]))
vector("a claim that nobody knows", "credential-invalid", payload(cbor({**claims("paper"), 9: 1})))
vector("an own claim that nobody knows", "credential-invalid", paper(own={10: 1}))
vector("null for a name", "credential-invalid", paper(own={4: Raw(b"\xf6")}))
vector("a float for a time", "credential-invalid", paper(iat=Raw(b"\xfb" + __import__("struct").pack(">d", IAT))))
vector("a tag inside", "credential-invalid", paper(iat=Raw(b"\xc1" + head(0, IAT))))
vector("a big number for a time", "credential-invalid", paper(iat=Raw(b"\xc2\x44" + IAT.to_bytes(4, "big"))))
vector("no tag", "credential-invalid", paper(how={"tag": b""}))
vector("the tag of a MAC", "credential-invalid", paper(how={"tag": b"\xd1"}))
vector("the tag of a CWT around it", "credential-invalid", b"\xd8\x3d" + paper())
vector("small letters", "credential-invalid", code(paper()).lower())
vector("a small prefix", "credential-invalid", "ds1:" + base45(paper()))
vector("nothing behind the prefix", "credential-invalid", "DS1:")
vector("another prefix", "credential-invalid", "HC1:" + base45(paper()))
vector("a group beyond two bytes", "credential-invalid", "DS1::::")
vector("one character too many", "credential-invalid", code(paper()) + "0")
vector("compressed", "credential-invalid", code(zlib.compress(paper())))

# ---- bombs
vector("an array of four billion", "credential-invalid", b"\xd2\x9a\xff\xff\xff\xff")
vector("a string of a terabyte", "credential-invalid", b"\xd2\x84\x5b\x00\x00\x01\x00\x00\x00\x00\x00")
vector("nested a hundred deep", "credential-invalid", b"\xd2" + b"\x81" * 100)
vector("claims nested a hundred deep", "credential-invalid", payload(b"\x81" * 100))
vector("a map of a million", "credential-invalid", payload(b"\xba\x00\x0f\x42\x40"))
vector("a signed kilobyte for a name", "credential-invalid", paper(own={4: "王" * 341}))

# ---- claims that cannot be
vector("a paper code with a colour", "credential-invalid", paper(own={6: GREEN}))
vector("a paper code with a test", "credential-invalid", paper(own={7: IAT}))
vector("a paper code without an index", "credential-invalid", paper(drop=("3",)))
vector("a paper code without a name", "credential-invalid", paper(drop=("4",)))
vector("a paper code for 180 days and a second", "credential-invalid", paper(exp=IAT + 180 * DAY + 1))
vector("a phone code for a day and a second", "credential-invalid", phone(exp=IAT + DAY + 1))
vector("a pass for 31 days and a second", "credential-invalid", issued("pass", exp=IAT + 31 * DAY + 1))
vector("a phone code without a person", "credential-invalid", phone(drop=("2",)))
vector("a phone code with nbf", "credential-invalid", phone(nbf=IAT))
vector("a pass without a host", "credential-invalid", issued("pass", drop=("9",)))
vector("a pass with a person", "credential-invalid", issued("pass", own={2: PERSON}))
vector("a kind of tomorrow", "credential-invalid", paper(own={1: 5}))
vector("no kind", "credential-invalid", paper(drop=("1",)))
vector("an id of 7 bytes", "credential-invalid", paper(cti=bytes(7)))
vector("no id", "credential-invalid", paper(drop=(7,)))
vector("no exp", "credential-invalid", paper(drop=(4,)))
vector("a status with the list's time bits", "credential-invalid", issued("bearer", own={6: 1 << 5 | 3}))
vector("a status of 255", "credential-invalid", issued("bearer", own={6: 255}))
vector("a test after the code was issued", "credential-invalid", phone(own={7: IAT + 1}))
vector("a name that turns the line around", "credential-invalid", paper(own={4: "王\u202e*"}))
vector("a name with a line end", "credential-invalid", paper(own={4: "王\n*"}))
vector("a name that is not UTF-8", "credential-invalid", paper(own={4: Raw(b"\x62\xc3\x28")}))

# ---- the time
EXP = IAT + DAY
vector("expired", "credential-expired", phone(at=EXP + HOUR), lo=EXP + HOUR, hi=EXP + HOUR)
vector("expired this second", "credential-expired", phone(at=EXP), lo=EXP, hi=EXP)
vector("one second left", "ok", phone(at=EXP), lo=EXP - 1, hi=EXP - 1)
vector("expired for all that is known", "credential-expired", phone(), lo=EXP, hi=None)
vector("it may have expired", "clock-unknown", phone(at=EXP), lo=EXP - 60, hi=EXP + 60)
vector("nothing bounds the clock", "clock-unknown", phone(), hi=None)
vector("nothing bounds the clock, paper", "clock-unknown", paper(), hi=None)
vector("nothing bounds the clock, pass", "clock-unknown", issued("pass"), hi=None)
vector("a pass whose time has not come", "credential-invalid", issued("pass", nbf=NOW + 1))
vector("a pass whose time comes this second", "ok", issued("pass", nbf=NOW))
vector("a pass whose time may have come", "clock-unknown", issued("pass", nbf=NOW), lo=NOW - 60, hi=NOW + 60)
vector("a pass whose time is over", "credential-expired", issued("pass", exp=NOW))
vector("the issuer is four minutes ahead", "ok", phone(at=IAT), lo=IAT - 240, hi=IAT - 240)
vector("the issuer is six minutes ahead", "clock-unknown", phone(at=IAT), lo=IAT - 360, hi=IAT - 360, why="one of the two clocks is wrong")
vector("an old clock and a paper code", "ok", paper(), lo=IAT - 30 * DAY, hi=NOW, why="the issuer's own time raises the lower end")
vector("an interval upside down", "clock-unknown", paper(), lo=NOW, hi=NOW - 3600)
vector("the phone signed 240 s ago", "ok", phone(at=NOW - 240))
vector("the phone signed 241 s ago", "code-expired", phone(at=NOW - 241))
vector("the phone is 240 s ahead", "ok", phone(at=NOW + 240))
vector("the phone is 241 s ahead", "credential-invalid", phone(at=NOW + 241))
vector("the phone is a day ahead", "credential-invalid", phone(at=NOW + DAY))
vector("the phone's time is before the issuer's", "code-expired", phone(at=IAT - 241), lo=IAT - 600, hi=IAT)
vector("two minutes of doubt around a phone", "ok", phone(), lo=NOW - 120, hi=NOW + 120)
vector("ten minutes of doubt around a phone", "clock-unknown", phone(), lo=NOW - 300, hi=NOW + 300)
vector("ten minutes of doubt around a paper code", "ok", paper(), lo=NOW - 300, hi=NOW + 300)

# ---- withdrawn, replayed
vector("withdrawn by its id", "credential-revoked", paper(cti=b"\xff" * 8))
vector("withdrawn under another signature", "credential-revoked", paper(key=SH2, kid=b"sh-2", cti=b"\xff" * 8), why="the same code signed anew, with another key: what is revoked is the id")
vector("another issuer's code of a withdrawn id", "ok", issued("pass", key=HOUSE, kid=b"house", iss="tower", cti=b"\xff" * 8))
vector("below the holder's floor", "credential-revoked", paper(own={2: b"\xf0" * 8}, iat=IAT - 1, exp=IAT + DAY))
vector("at the holder's floor", "ok", paper(own={2: b"\xf0" * 8}))
vector("withdrawn and expired", "credential-revoked", paper(cti=b"\xff" * 8, exp=NOW))
vector("a phone code seen before", "credential-replayed", phone(), seen=True)
vector("a pass used before", "credential-replayed", issued("pass"), seen=True)
vector("a paper code seen before", "ok", paper(), seen=True, why="the guard sees it, and may see it again tomorrow")
vector("a bearer code seen before", "ok", issued("bearer"), seen=True)
print(count, "vectors")
