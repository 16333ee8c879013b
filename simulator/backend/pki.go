package backend

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// PKI is every key that a bench needs: a certificate authority, the
// platform's and one kiosk's certificates, and the key that signs statements.
type PKI struct {
	CA        *x509.Certificate
	Server    tls.Certificate
	Kiosk     tls.Certificate
	Statement ed25519.PrivateKey
	KeyID     string

	ca crypto.Signer

	caPEM, kioskPEM, kioskKeyPEM, statementPEM []byte
}

// life is long enough for a scenario that moves the clock by months.
const life = 5 * 365 * 24 * time.Hour

// NewPKI makes a PKI for the kiosk of that id, valid from a day before now.
func NewPKI(kiosk string, now time.Time) (*PKI, error) {
	p := &PKI{KeyID: "statement-1"}
	if err := p.makeCA(now); err != nil {
		return nil, err
	}
	if err := p.issueServer(nil); err != nil {
		return nil, err
	}
	var err error
	if p.Kiosk, p.kioskPEM, p.kioskKeyPEM, err = p.issue(kiosk, x509.ExtKeyUsageClientAuth, nil); err != nil {
		return nil, err
	}
	return p, p.makeStatementKey()
}

// ServerTLS demands a certificate of this authority from every kiosk.
func (p *PKI) ServerTLS() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{p.Server}, ClientCAs: p.pool(),
		ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13,
		NextProtos: []string{"h2", "http/1.1"},
	}
}

// ClientTLS is the kiosk's side.
func (p *PKI) ClientTLS() *tls.Config { return p.client(p.Kiosk) }

// Enrol makes a certificate for one more kiosk, and gives its side.
func (p *PKI) Enrol(kiosk string) (*tls.Config, error) {
	c, _, _, err := p.issue(kiosk, x509.ExtKeyUsageClientAuth, nil)
	if err != nil {
		return nil, err
	}
	return p.client(c), nil
}

// Files are the paths that Write has written.
type Files struct{ CA, Certificate, Key, StatementKey string }

// Write writes what a kiosk is given into dir: keys with mode 0600.
func (p *PKI) Write(dir string) (Files, error) {
	f := Files{
		CA: filepath.Join(dir, "ca.pem"), Certificate: filepath.Join(dir, "kiosk.pem"),
		Key: filepath.Join(dir, "kiosk.key"), StatementKey: filepath.Join(dir, p.KeyID+".pem"),
	}
	for path, data := range map[string][]byte{
		f.CA: p.caPEM, f.Certificate: p.kioskPEM, f.Key: p.kioskKeyPEM, f.StatementKey: p.statementPEM,
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return Files{}, fmt.Errorf("writing the bench's keys: %w", err)
		}
	}
	return f, nil
}

//

func (p *PKI) client(kiosk tls.Certificate) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{kiosk}, RootCAs: p.pool(),
		ServerName: "localhost", MinVersion: tls.VersionTLS13,
	}
}

func (p *PKI) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.CA)
	return pool
}

// makeCA makes the certificate authority.
func (p *PKI) makeCA(now time.Time) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authority := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "sentinel bench CA"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, key.Public(), key)
	if err != nil {
		return err
	}
	if p.CA, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	p.ca, p.caPEM = key, block("CERTIFICATE", der)
	return nil
}

// issueServer makes the platform's certificate: for localhost, and other names
// and addresses under which kiosks reach it.
func (p *PKI) issueServer(hosts []string) (err error) {
	p.Server, _, _, err = p.issue("platform", x509.ExtKeyUsageServerAuth, hosts)
	return err
}

// issue makes one certificate, and its PEM files.
func (p *PKI) issue(name string, use x509.ExtKeyUsage, hosts []string) (c tls.Certificate, cert, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name},
		NotBefore: p.CA.NotBefore, NotAfter: p.CA.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{use},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, p.CA, private.Public(), p.ca)
	if err != nil {
		return c, nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return c, nil, nil, err
	}
	cert, key = block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8)
	c, err = tls.X509KeyPair(cert, key)
	return c, cert, key, err
}

// serial is a random number of a certificate.
func serial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails
	b[0] &= 0x7F
	return new(big.Int).SetBytes(b)
}

func (p *PKI) makeStatementKey() error {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return err
	}
	p.Statement, p.statementPEM = private, block("PUBLIC KEY", der)
	return nil
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}
