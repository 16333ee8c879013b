package signed

import (
	"bytes"
	"errors"

	"github.com/fxamacker/cbor/v2"
)

// The encoder and the decoders are fixed when the program starts.
var (
	encoder = must(cbor.CoreDetEncOptions().EncMode())

	// decoder reads statements and messages, which are tagged.
	decoder = must(strict(cbor.TagsAllowed).DecMode())

	// payloadDecoder reads what other rooms put into a message.
	payloadDecoder = must(strict(cbor.TagsForbidden).DecMode())

	// codeDecoder reads what ParseCode then holds against its own spelling.
	codeDecoder = must(onlyKnown(strict(cbor.TagsForbidden)).DecMode())
)

// strict are the bounds of all CBOR that is read here.
func strict(tags cbor.TagsMode) cbor.DecOptions {
	return cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		TagsMd: tags, MaxNestedLevels: 4, MaxArrayElements: 32, MaxMapPairs: 32,
		UTF8: cbor.UTF8RejectInvalid,
	}
}

func onlyKnown(o cbor.DecOptions) cbor.DecOptions {
	o.ExtraReturnErrors = cbor.ExtraDecErrorUnknownField
	return o
}

// must is for options that are constants: they are wrong at the first run of
// any test, or never.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Encode writes v as a payload in deterministic CBOR (RFC 8949 section 4.2.1).
func Encode(v any) ([]byte, error) { return encoder.Marshal(v) }

// Decode reads a payload into v. Keys twice, indefinite lengths, tags, nesting
// beyond 4, more than 32 elements and text that is no UTF-8 are errors; keys
// that v does not know are passed over.
func Decode(payload []byte, v any) error { return payloadDecoder.Unmarshal(payload, v) }

// strictly reads into v what the encoder would have written from v.
func strictly[T any](data []byte, v *T) error {
	if err := codeDecoder.Unmarshal(data, v); err != nil {
		return err
	}
	if again, err := encoder.Marshal(v); err != nil || !bytes.Equal(again, data) {
		return errors.New("not deterministic CBOR")
	}
	return nil
}
