package backend

// For tests that look inside.
var (
	OpenBoltWith = openBolt
	DecodeEntry  = decodeEntry
)

// DecodeValue reads a stored record, and writes it again.
func DecodeValue(b []byte) (again []byte, err error) {
	v, err := decodeValue(b)
	if err != nil {
		return nil, err
	}
	if _, err := v.record(); err != nil {
		return nil, err
	}
	return v.encode(), nil
}

// EncodeValue writes a body as it is stored.
func EncodeValue(body []byte) []byte { return (&value{received: 1, visit: true, body: body}).encode() }

// DecodeTally reads a line of the counts.
var DecodeTally = decodeTally
