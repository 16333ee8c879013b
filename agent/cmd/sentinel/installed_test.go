package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// installed writes what a kiosk k-1 is given at its installation, a desk without
// devices, into a folder of its own, and returns the path of its configuration.
// Its certificate is of ca.pem; ca.key is beside it. Its state folder is s.
func installed(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	block := func(name, kind string, der []byte) {
		write(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	caKey, key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := func(serial int64, name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: serial == 1,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	ca := template(1, "authority")
	block("ca.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)))
	block("kiosk.pem", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template(2, "k-1"), ca, key.Public(), caKey)))
	block("ca.key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(caKey)))
	block("kiosk.key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(key)))
	statement, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block("statement-1.pem", "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(statement)))
	write("authority.age", []byte(testRecipient+"\n"))
	write("policy.yaml", must(os.ReadFile("../../../configs/policies/public-place.yaml")))
	write("kiosk.yaml", []byte(`device: k-1
profile: desk
venue: {id: v-1, class: office}
policy: policy.yaml
state: s
platform:
  urls: [https://localhost:1]
  ca: ca.pem
  certificate: kiosk.pem
  key: kiosk.key
  statement_keys: [statement-1.pem]
records: {recipient: authority.age}
screen: {listen: "off"}
`))
	return filepath.Join(dir, "kiosk.yaml")
}

// testRecipient is an age public key whose other half nobody has kept.
const testRecipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
