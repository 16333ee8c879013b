package authority

import (
	"bytes"
	"errors"
	"io"

	"filippo.io/age"
)

// maxKey bounds a private key's file, in bytes.
const maxKey = 4096

// protect seals a private key with the passphrase, if there is one.
func (a *Authority) protect(plain []byte) ([]byte, error) {
	if a.o.Passphrase == "" {
		return plain, nil
	}
	to, err := age.NewScryptRecipient(a.o.Passphrase)
	if err != nil {
		return nil, err
	}
	if a.o.work > 0 {
		to.SetWorkFactor(a.o.work)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, to)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(plain)
	err = errors.Join(err, w.Close())
	return sealed.Bytes(), err
}

// unprotect opens what protect has made.
func (a *Authority) unprotect(data []byte) ([]byte, error) {
	if len(data) > maxKey {
		return nil, errors.New("it is no private key")
	}
	if !bytes.HasPrefix(data, []byte("age-encryption.org/")) {
		return data, nil
	}
	if a.o.Passphrase == "" {
		return nil, errors.New("it is protected: set SENTINEL_PASSPHRASE or --passphrase-file")
	}
	with, err := age.NewScryptIdentity(a.o.Passphrase)
	if err != nil {
		return nil, err
	}
	r, err := age.Decrypt(bytes.NewReader(data), with)
	if err != nil {
		return nil, errors.New("the passphrase is wrong")
	}
	return io.ReadAll(io.LimitReader(r, maxKey))
}
