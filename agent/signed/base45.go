package signed

import (
	"errors"
	"strings"
)

// alphabet is that of QR codes' alphanumeric mode (RFC 9285, table 1).
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"

// errBase45 does not say where: what stands there may be anybody's.
var errBase45 = errors.New("not base45")

// EncodeBase45 writes data as RFC 9285 does: two bytes as three characters, the
// least significant first, and a last single byte as two.
func EncodeBase45(data []byte) string {
	var b strings.Builder
	b.Grow((len(data)*3 + 1) / 2)
	for ; len(data) >= 2; data = data[2:] {
		n := int(data[0])<<8 | int(data[1])
		b.WriteByte(alphabet[n%45])
		b.WriteByte(alphabet[n/45%45])
		b.WriteByte(alphabet[n/(45*45)])
	}
	if len(data) == 1 {
		b.WriteByte(alphabet[data[0]%45])
		b.WriteByte(alphabet[data[0]/45])
	}
	return b.String()
}

// DecodeBase45 reads what EncodeBase45 writes and nothing else: no small
// letters, no single character at the end, no group beyond its bytes.
func DecodeBase45(s string) ([]byte, error) {
	if len(s)%3 == 1 {
		return nil, errBase45
	}
	data := make([]byte, 0, len(s)/3*2+1)
	for ; s != ""; s = s[min(3, len(s)):] {
		n, limit := 0, 0x100
		if len(s) >= 3 {
			n, limit = 45*45*digit(s[2]), 0x10000
		}
		n += digit(s[0]) + 45*digit(s[1])
		if n >= limit {
			return nil, errBase45
		}
		if limit > 0x100 {
			data = append(data, byte(n>>8))
		}
		data = append(data, byte(n))
	}
	return data, nil
}

// digit is the value of a character; of one that is none, more than any group
// can hold.
func digit(c byte) int {
	if v := strings.IndexByte(alphabet, c); v >= 0 {
		return v
	}
	return 0x10000
}
