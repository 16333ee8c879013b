// Package signed is the envelope of everything that somebody vouches for: strict
// CBOR inside COSE_Sign1 (RFC 9052): the platform's status statements, the codes
// that visitors show, and the headers of the feed. Pure: bytes and keys in,
// values and errors out, no clock.
//
// # Statements
//
// A statement is a COSE_Sign1, tag 18, at most 4096 bytes, nothing after it:
//
//	18([ protected: bstr .cbor {1: alg, 4: kid}, unprotected: {}, payload: bstr, signature ])
//
// alg is EdDSA (-8, Ed25519) or ES256 (-7, low-s only). The payload is one CBOR
// map with the integer keys of Statement's fields. Refused are: duplicate keys,
// indefinite lengths, tags within, floats, more than 32 entries, nesting beyond
// 4, bytes after the end, and any key that the statement's own list of critical
// fields names and this program does not know. Other unknown keys are ignored.
//
// # Codes
//
// A code is text that fits the alphanumeric mode of QR codes, at most 4096
// characters:
//
//	code   = "DS1:" base45(issued / shown)            ; RFC 9285
//	issued = 18([ bstr .cbor {1: alg, 4: kid}, {}, bstr .cbor claims, signature ])
//	shown  = 18([ bstr .cbor {1: alg}, {}, bstr .cbor [ time, bstr .cbor issued ], signature ])
//
// An issuer signs issued. A phone wraps it, every 30 seconds, in shown, which it
// signs with the key that the issuer has confirmed (cnf). The claims are a CWT
// claims set (RFC 8392, RFC 8747); what CWT has no name for stands in one claim
// of the registry's private range:
//
//	claims = {                     paper  bearer  phone  pass
//	  1: iss, text                   x      x       x     x   who issued it
//	  4: exp, Unix seconds           x      x       x     x   not valid from here on
//	  5: nbf, Unix seconds                                x   valid from here on
//	  6: iat, Unix seconds           x      x       x     x
//	  7: cti, bstr, 8 to 16          x      x       x     x   what is revoked
//	  8: cnf, { 1: COSE_Key }                       x         the phone's key
//	  -65537: {
//	    1: kind, 1 to 4              x      x       x     x   1 paper, 2 bearer, 3 phone, 4 pass
//	    2: person, bstr, 8           x      x       x         the issuer's keyed hash of the holder
//	    3: index, uint32             x      o       o         in the status list
//	    4: name, masked text         x      x       x     o   王*
//	    5: tail, 4 characters        x      x       x     o   the end of the holder's number
//	    6: status, 0 to 127                 x       x         bits 6-5: 0 unknown, 1 green, 2 yellow, 3 red; the others set
//	    7: sampled, Unix seconds            o       o         of the last negative NAT
//	    8: venue, text                                    x   where the pass is good
//	    9: host, text                                     x   who expects the visitor
//	  }
//	}
//	COSE_Key = { 1: 1, -1: 6, -2: x } / { 1: 2, -1: 1, -2: x, -3: bool }
//
// x must be there, o may be, nothing else may. The COSE_Key is Ed25519, or P-256
// with a compressed point, which is what secure elements in telephones have.
// The bits of status below the colour are set because the time of the sample
// stands in a claim of its own: the byte is the status list's value without one.
//
// A code has one spelling: everything is deterministic CBOR (RFC 8949, 4.2.1),
// and what is not what this package would have written is no code. There is no
// compression: it makes codes this short longer, and it is how a small picture
// becomes 30 MB.
//
// A paper code says nothing of anybody's health and lives for 180 days at most,
// a bearer or phone code for 24 hours, a pass for 31 days from nbf.
package signed
