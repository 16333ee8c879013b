package signed_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/digital-sentinel/sentinel/agent/signed"
)

// The vectors were written by a program that shares nothing with this package:
// its own CBOR, and OpenSSL's signatures. The keys are published test keys: "ed"
// is test 1 of RFC 8032 (section 7.1), "es" is the P-256 key of RFC 6979 (A.2.5).
// The question is nonce 00 01 … 0f, resident-id 11010519491231002X, venue v-1,
// kiosk k-1, at 2026-11-24T08:00:00Z.

func vectorKeys(t testing.TB) signed.Keys {
	t.Helper()
	point := append([]byte{4}, unhex(t, "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb67903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299")...)
	es, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	return signed.Keys{
		"ed": ed25519.PublicKey(unhex(t, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")),
		"es": es,
	}
}

// ask opens a vector as a kiosk does: read, then held against the question.
func ask(keys signed.Keys, raw []byte) (*signed.Statement, error) {
	s, err := signed.Open(keys, raw)
	if err != nil {
		return nil, err
	}
	nonce := []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	credential := sha256.Sum256([]byte("resident-id\x0011010519491231002X"))
	return s, s.Bound(nonce, credential[:], "v-1", "k-1")
}

func TestVectors(t *testing.T) {
	keys := vectorKeys(t)
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			raw, err := base64.StdEncoding.DecodeString(v.raw)
			if err != nil {
				t.Fatal(err)
			}
			s, err := ask(keys, raw)
			if v.want == nil && (err != nil || s.AsOf != 1795507200) {
				t.Fatalf("%+v, %v, want a statement as of 1795507200", s, err)
			}
			if !errors.Is(err, v.want) {
				t.Errorf("%v, want %v", err, v.want)
			}
		})
	}
}

// TestEveryTruncation: no beginning of a good statement is a statement.
func TestEveryTruncation(t *testing.T) {
	keys := vectorKeys(t)
	good, err := base64.StdEncoding.DecodeString(vectors[0].raw)
	if err != nil {
		t.Fatal(err)
	}
	for n := range good {
		if _, err := signed.Open(keys, good[:n]); !errors.Is(err, signed.ErrUnsigned) {
			t.Errorf("the first %d of %d bytes give %v, want ErrUnsigned", n, len(good), err)
		}
	}
}

// TestEveryByte: there is no byte of a statement that may differ.
func TestEveryByte(t *testing.T) {
	keys := vectorKeys(t)
	for _, v := range vectors[:2] { // Ed25519, ES256
		good, err := base64.StdEncoding.DecodeString(v.raw)
		if err != nil {
			t.Fatal(err)
		}
		for i := range good {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << (i % 8)
			if _, err := signed.Open(keys, bad); err == nil {
				t.Errorf("%s is believed with a bit of byte %d turned", v.name, i)
			}
		}
	}
}

// TestABombIsRefusedCheaply: size is looked at before anything else is.
func TestABombIsRefusedCheaply(t *testing.T) {
	keys, bomb := vectorKeys(t), bytes.Repeat([]byte{0xD2, 0x84}, 15<<20)
	allocated := testing.AllocsPerRun(10, func() {
		if _, err := signed.Open(keys, bomb); !errors.Is(err, signed.ErrUnsigned) {
			t.Fatalf("30 MB give %v, want ErrUnsigned", err)
		}
	})
	if allocated > 10 {
		t.Errorf("refusing 30 MB takes %v allocations, want the error's alone", allocated)
	}
	// Signed well, and too long all the same.
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]error{3000: nil, 4096: signed.ErrUnsigned} {
		s := &signed.Statement{
			Version: 1, Nonce: make([]byte, 16), Credential: make([]byte, 32),
			MaskedName: strings.Repeat("x", size), AsOf: 1, ValidUntil: 1, Time: 1,
		}
		long, err := signed.Sign(private, "k", s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signed.Open(signed.Keys{"k": public}, long); !errors.Is(err, want) {
			t.Errorf("a name of %d bytes gives %v, want %v", size, err, want)
		}
	}
	// A length of 2^32 bytes, announced in a few.
	if _, err := signed.Open(keys, unhex(t, "d2845b0000000100000000a0")); !errors.Is(err, signed.ErrUnsigned) {
		t.Errorf("an announced length gives %v, want ErrUnsigned", err)
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var vectors = []struct {
	name string
	want error
	raw  string
}{
	{"Ed25519", nil, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQMf3CJFtgQPpe0J0JkSisQ/jETaWFekw6h/UZ7hfHASZdPuNkZjjsLMULdDaiO2VBdcl8mqUHGR9m+Y/McQm6wY="},
	{"ES256 with a low s", nil, "0oRHogEmBEJlc6BYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQFwu1xg5LDNfja+40410kl8pZ1vuhY9FDDwAlldo3PdxGTSYaRMhC/HK4ViFCgHND2L8Q0cfaqj0vbL5WrW7gro="},
	{"a field of tomorrow that is not critical", nil, "0oRHogEnBEJlZKBYj68BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAAWZWxhdGVyWEDVSkjD51SPkhnCiq+xVy3AsEt8Qb7NfOhLRab67zzp5Dlevc2cv6FfHK6jrfJwuosO0zhJnXtjFohU3SqRiioL"},
	{"a critical field that is known", nil, "0oRHogEnBEJlZKBYjK8BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAAUggcJWEBv9YjyWgpLgMVX73G+CMWFJggydTQ9XI0frnFW3YdnOtQcDCrJeyOSnfTP9q51pPDvvydp7r9rUXxDTDx5EfkJ"},
	{"only what must be there", nil, "0oRHogEnBEJlZKBYZakBAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xEhprBUQAExprBUZYFRprBUQAWEA5YynzCsvm+SvxcvTtE+PL1zb6XRjxIT8dMacrII7JaKpc/p8bUp252QqL0GJL4Wp4AZbKOHChYnIVJDf3MdwA"},
	{"a statement for another nonce", signed.ErrOther, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAAAAAAAAAAAAAAAAAAAABFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQAk4j0MUbpVnUAsPl38AM/xExnPVpLjr5b3EG+koR07uoawg5djJ3aZH5w7Rij4B8MblUUWi4Tg9oFmcknECkw0="},
	{"a statement for another person", signed.ErrOther, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggLXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIEFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQBp1qvTz1T13myR6f7ovXkq4QWRs5R6rAdIDl/TJNB3O4mdFukaeIv7W6oMrVXVa08vz/xTUA3cNj9ZQTV2U2AE="},
	{"a statement for another venue", signed.ErrOther, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMgZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQEq9enDzrF2ad8GV2QoW8SFppKI6sRNPMwq+AXqKoFpNO0WMtcP2vcvhlDky3LU6/7Lvpzo5XrACjpQq9jl6yAc="},
	{"a statement for another kiosk", signed.ErrOther, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0yB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQL1ms9LC+oIqxu1ahajCs0aLeVTeIzyVDCF8+gT5hgObIpQqipXYJ/iGOCEBU8aqmiuaYlk+5brP4OdV229kEAY="},
	{"the payload alone", signed.ErrUnsigned, "rgEBAm92ZWN0b3IgcGxhdGZvcm0DUAABAgMEBQYHCAkKCwwNDg8EWCA4WYdKcQo8gelNMPrubbgPy8EVg2KEYsw26ayjLjNlVQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAA=="},
	{"no tag", signed.ErrUnsigned, "hEeiAScEQmVkoFiIrgEBAm92ZWN0b3IgcGxhdGZvcm0DUAABAgMEBQYHCAkKCwwNDg8EWCA4WYdKcQo8gelNMPrubbgPy8EVg2KEYsw26ayjLjNlVQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAFhAx/cIkW2BA+l7QnQmRKKxD+MRNpYV6TDqH9RnuF8cBJl0+42RmOOwsxQt0NqI7ZUF1yXyapQcZH2b5j8xxCbrBg=="},
	{"a COSE_Mac0 tag", signed.ErrUnsigned, "0YRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQMf3CJFtgQPpe0J0JkSisQ/jETaWFekw6h/UZ7hfHASZdPuNkZjjsLMULdDaiO2VBdcl8mqUHGR9m+Y/McQm6wY="},
	{"an empty signature", signed.ErrUnsigned, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABA"},
	{"a signature of zeros", signed.ErrSignature, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="},
	{"the last byte missing", signed.ErrUnsigned, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQMf3CJFtgQPpe0J0JkSisQ/jETaWFekw6h/UZ7hfHASZdPuNkZjjsLMULdDaiO2VBdcl8mqUHGR9m+Y/McQm6w=="},
	{"a byte too many", signed.ErrUnsigned, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQMf3CJFtgQPpe0J0JkSisQ/jETaWFekw6h/UZ7hfHASZdPuNkZjjsLMULdDaiO2VBdcl8mqUHGR9m+Y/McQm6wYA"},
	{"a second statement behind the first", signed.ErrUnsigned, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQMf3CJFtgQPpe0J0JkSisQ/jETaWFekw6h/UZ7hfHASZdPuNkZjjsLMULdDaiO2VBdcl8mqUHGR9m+Y/McQm6wbShEeiAScEQmVkoFiIrgEBAm92ZWN0b3IgcGxhdGZvcm0DUAABAgMEBQYHCAkKCwwNDg8EWCA4WYdKcQo8gelNMPrubbgPy8EVg2KEYsw26ayjLjNlVQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAFhAx/cIkW2BA+l7QnQmRKKxD+MRNpYV6TDqH9RnuF8cBJl0+42RmOOwsxQt0NqI7ZUF1yXyapQcZH2b5j8xxCbrBg=="},
	{"a key id of nobody", signed.ErrKey, "0oRHogEnBEJub6BYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQNd2etWz8zkqrzScCkGG+JzVaCCDGunhk1iB1BOATgW9O1lmEgssPgJxxn2bj5niboQ3SMCz3mBVVYChdL+L0gQ="},
	{"no key id", signed.ErrKey, "0oRDoQEnoFiIrgEBAm92ZWN0b3IgcGxhdGZvcm0DUAABAgMEBQYHCAkKCwwNDg8EWCA4WYdKcQo8gelNMPrubbgPy8EVg2KEYsw26ayjLjNlVQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAFhAObq02VXeJL3wvZfion0IwimJhfK/O5ha4o9kUlkEwqTRLpqx+DxcNpHWYOZHhlzw48Bq7kR2hUj4A6Gr+96xAg=="},
	{"a stranger under a trusted key id", signed.ErrSignature, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQANHrLCi456HcbUpSyZ77ERNeujNewNNd6WA4/Y1pILl7bF3i7LmlFNeLMVOwfrWt54YQGutLAHAvxLK8IJ9bQw="},
	{"signed with context that nobody agreed on", signed.ErrSignature, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQBZmFEUFuMwMapxMQVbOby0bBF0cJFjhYx2a6EHTqJKsO2Zm8fTVf35VGy/qEbDza4J4953/zYzu3NKuOy6VwAA="},
	{"ES256 with a high s", signed.ErrSignature, "0oRHogEmBEJlc6BYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQDmyazRypLi2Toc2UTn7NMjvt7LAmokHanjaHFcDSpF6uSx3sMA50M1kf+TKACGplX1uNgxoofec7UisO0Ab9DQ="},
	{"ES256 said of an Ed25519 key", signed.ErrSignature, "0oRHogEmBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQArdzMRCjcPMgs27clX6fBIhkeVKNW54XXPA2YHvWTz6Bk/5waq10oTS/wNELR+ptLA1Uh5V30zz2n4vFWKh1Q4="},
	{"ES512 said of an Ed25519 key", signed.ErrSignature, "0oRIogE4IwRCZWSgWIiuAQECb3ZlY3RvciBwbGF0Zm9ybQNQAAECAwQFBgcICQoLDA0ODwRYIDhZh0pxCjyB6U0w+u5tuA/LwRWDYoRizDbprKMuM2VVBWN2LTEGY2stMQdlZ3JlZW4IaG5lZ2F0aXZlCRprBTXwChprBTz4EWTnjosqEhprBUQAExprBUZYFRprBUQAWEBtOVUd13AIKhumDbvL/lInLpxbb+2pQUYdQ8vR7dKfi5VZ8ZtdPkYtOKVWktW6WAv8qEpRGcRSN75uFjxvHFQO"},
	{"a header twice", signed.ErrUnsigned, "0oRLowEnBEJubwRCZWSgWIiuAQECb3ZlY3RvciBwbGF0Zm9ybQNQAAECAwQFBgcICQoLDA0ODwRYIDhZh0pxCjyB6U0w+u5tuA/LwRWDYoRizDbprKMuM2VVBWN2LTEGY2stMQdlZ3JlZW4IaG5lZ2F0aXZlCRprBTXwChprBTz4EWTnjosqEhprBUQAExprBUZYFRprBUQAWEBj/m0Kj8Y8178YIjVEKiLhqjfJKobJH1KzJIjbIeBejjZbR5LrUzdX7TpZt0u70udhk97M7Qnl5/ZU4AfPHN4E"},
	{"a detached payload", signed.ErrSignature, "0oRHogEnBEJlZKD2WEDH9wiRbYED6XtCdCZEorEP4xE2lhXpMOof1Ge4XxwEmXT7jZGY47CzFC3Q2ojtlQXXJfJqlBxkfZvmPzHEJusG"},
	{"a key twice, green after red", signed.ErrFormat, "0oRHogEnBEJlZKBYja8HY3JlZAEBAm92ZWN0b3IgcGxhdGZvcm0DUAABAgMEBQYHCAkKCwwNDg8EWCA4WYdKcQo8gelNMPrubbgPy8EVg2KEYsw26ayjLjNlVQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAFhAZs88yMWemRip7SAyDCxU8hyvDxtg0SsiodaG8YXVBF62B+ISdUDF1LJ+5yszR2wERDcquKW2kTzcDiu6x8J6Ag=="},
	{"a map of indefinite length", signed.ErrFormat, "0oRHogEnBEJlZKBYib8BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAD/WEDFz+mdJhdIq84EpMzVAmRoBb7xiupM57w/N0+ZalZ9yrhH3POdpLk8ntOHWm2FaKVHxejDjc6EbQAeAwe4KhMI"},
	{"a string in pieces", signed.ErrFormat, "0oRHogEnBEJlZKBYi64BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFf2J2LWEx/wZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQGWv79tX50pK2awJ8tuERJVeQ3veAwgXN0GyXr391qq0lCnNog8MyS5Yi91FS9HM9U8BVAT5oIvyitpFEzUeJQo="},
	{"a byte after the payload", signed.ErrFormat, "0oRHogEnBEJlZKBYia4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAAAWEBVFABZGaPYdoT2fOK03IwEVDUhuUDji42e5n0WZmCoclUZAHPxC15i/6TdZ+f0iHlfJuaGbb3J+kwGYgVijnUM"},
	{"a float for a time", signed.ErrFormat, "0oRHogEnBEJlZKBYjK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoS+0HawVEAAAAAExprBUZYFRprBUQAWEDlUnvXSPMW446GPPvuLqh6DUsPWbz5ep//vRGJMHUA24/gsMlrInKCZSnRevw9bi/UFFtJRf+wPPzv59mjk+8M"},
	{"a critical field that nobody knows", signed.ErrFormat, "0oRHogEnBEJlZKBYkrABAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAAUgRYWZWxhdGVyWECoZ0I/Vy82Eji57Z00FrWhgmMEpxqSReijP+Ji6+IJSthMeWBPkAED05SxUlFFBDIx6eGtqbZ5zvDqdzOx9pcG"},
	{"a critical field of negative number", signed.ErrFormat, "0oRHogEnBEJlZKBYi68BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAAUgSBYQDYQyFJ3g73Dcnc7st3XDCD1UwewQtvS9DkoxRU6U0c/kmFgtMB5cKZRbhFhK2BbTIvoDkhM54HnlULriDxmEAw="},
	{"version 2", signed.ErrFormat, "0oRHogEnBEJlZKBYiK4BAgJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQEPuIevNdobmtRwZN61mqNejIWmMMIB1UUm/ZBXRFVUDIRHaGdrKmeaPXsqY9rwDwqkeXJlJoIVNZIrnX8sewAQ="},
	{"no version", signed.ErrFormat, "0oRHogEnBEJlZKBYhq0Cb3ZlY3RvciBwbGF0Zm9ybQNQAAECAwQFBgcICQoLDA0ODwRYIDhZh0pxCjyB6U0w+u5tuA/LwRWDYoRizDbprKMuM2VVBWN2LTEGY2stMQdlZ3JlZW4IaG5lZ2F0aXZlCRprBTXwChprBTz4EWTnjosqEhprBUQAExprBUZYFRprBUQAWEDmj/Q+DLZyAHfCQJovfMpx1Daes3u4D2Reo5FE6k0Vg9BbyzMoGS1TRMKfpOvAnNS4CM5cKAl/XpuS2CZLUuQG"},
	{"no as-of", signed.ErrFormat, "0oRHogEnBEJlZKBYgq0BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoTGmsFRlgVGmsFRABYQCk0QJ0y0lJXhS9uURqvF7mX9YK7Im6QuodSTfuwbrofu1go9VszcFO8+xjaO+LeDcLjeS7zh3DrFWsiX1Aj8Qw="},
	{"valid until before as-of", signed.ErrFormat, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFQ/8VGmsFRABYQBjGtEix4Al8b7gkoijLETJD7UAc5/IKw/Cm3//0lme/M/YbsSX6uiNYhGQePLeQQ8ci5mym2gJ3HB53G21RRA0="},
	{"a nonce of 15 bytes", signed.ErrFormat, "0oRHogEnBEJlZKBYh64BAQJvdmVjdG9yIHBsYXRmb3JtA08AAAAAAAAAAAAAAAAAAAAEWCA4WYdKcQo8gelNMPrubbgPy8EVg2KEYsw26ayjLjNlVQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAFhA48y6Ya1LJvdXn8qz+rtCcZ8BXY0ybYZHg5X2XdA7SvQAleetlGs75v0uXY0khkJxGnQtcJgmNsmU4qWl5WDuBA=="},
	{"a credential hash of 31 bytes", signed.ErrFormat, "0oRHogEnBEJlZKBYh64BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFgfOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZQVjdi0xBmNrLTEHZWdyZWVuCGhuZWdhdGl2ZQkaawU18AoaawU8+BFk546LKhIaawVEABMaawVGWBUaawVEAFhAFt4CZhcdDlAbyJGq3qoN9HU+JDGxuIWS1NIcNm5NjgPOZqtPFQnXyZAvAgy3z4Qs9/eMbX3G+tbPPb/MPrTHBA=="},
	{"a colour that is none", signed.ErrFormat, "0oRHogEnBEJlZKBYiK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VHUkVFTghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRABYQE2mOdCQ2M38KI1v0yxKe34jh3nxXXyEClGlHLDvrYXHpHUm4edHCASr48pvtjcBM24QTaQ1x1ZzTn2hj//vlQo="},
	{"a name that is not UTF-8", signed.ErrFormat, "0oRHogEnBEJlZKBYhq4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRYsMoEhprBUQAExprBUZYFRprBUQAWEDLncdz0XoECBuZRD73T8+Kp31mRi9DONbJGcJpMwuGN/MYfqhqmLEdhI9pvw2sO9XuoUDIT8cMokcWjaQF/2YB"},
	{"thirty-three entries", signed.ErrFormat, "0oRHogEnBEJlZKBYwrghAQECb3ZlY3RvciBwbGF0Zm9ybQNQAAECAwQFBgcICQoLDA0ODwRYIDhZh0pxCjyB6U0w+u5tuA/LwRWDYoRizDbprKMuM2VVBWN2LTEGY2stMQdlZ3JlZW4IaG5lZ2F0aXZlCRprBTXwChprBTz4EWTnjosqEhprBUQAExprBUZYFRprBUQAGGQAGGUAGGYAGGcAGGgAGGkAGGoAGGsAGGwAGG0AGG4AGG8AGHAAGHEAGHIAGHMAGHQAGHUAGHYAWEAA1TbDJXWXxAjV/WE+xRNy64vUpSg+KP9qgPq/VxichTFIw0o8dPX2j0KxhCTgc4Yd1muWioVJpexI9S1ma8IG"},
	{"nested five deep", signed.ErrFormat, "0oRHogEnBEJlZKBYjq8BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATGmsFRlgVGmsFRAAWgYGBgYBYQAme9vzuy4aDzUYZMlQ/HmhLEYcab1oGlS4hp/Qt0Ld+zqRi+jHl52vqAoGCYHf2T2D/bUQGrN06ROUxk6Cd7w8="},
	{"a time beyond 2200", signed.ErrFormat, "0oRHogEnBEJlZKBYjK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSGmsFRAATG0AAAAAAAAAAFRprBUQAWEAovGnMAGXrhCuAdA6hSecd/Hjcf2oUiVfvMeNPwvXcvIjIsobSGlsBPbp1/p2uvZ0nTSbPFDmX0lvvRnBj16MD"},
	{"a time before 1970", signed.ErrFormat, "0oRHogEnBEJlZKBYhK4BAQJvdmVjdG9yIHBsYXRmb3JtA1AAAQIDBAUGBwgJCgsMDQ4PBFggOFmHSnEKPIHpTTD67m24D8vBFYNihGLMNumsoy4zZVUFY3YtMQZjay0xB2VncmVlbghobmVnYXRpdmUJGmsFNfAKGmsFPPgRZOeOiyoSIBMaawVGWBUaawVEAFhAew0u4E/G6rnbXUPvRJuYukTOghjBW2x43/uC1TsydviceqhLPk7Eh6NHJuwYZtLY2amE7OdABvbuuoOdTKm/Bw=="},
}
