package backend

import (
	"crypto"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"filippo.io/age"

	"github.com/digital-sentinel/sentinel/agent/durable"
)

// Installation is the folder of a platform that runs by itself:
//
//	ca.pem, ca.key                     its certificate authority
//	statement-1.pem, statement-1.key   sign what it says of people
//	authority.age                      to whom kiosks seal identities
//	authority/identity.txt             what opens them: not the platform's
//	kiosks/NAME/                       all that this kiosk is given
//
// The platform's own certificate is made anew at every start.
type Installation struct {
	*PKI
	dir       string
	recipient []byte // authority.age
}

// The files of an installation.
const (
	caFile        = "ca.pem"
	caKeyFile     = "ca.key"
	statementName = "statement-1"
	recipientFile = "authority.age"
	AuthorityFile = "authority/identity.txt"
	kioskFile     = "kiosk.pem"
	kioskKeyFile  = "kiosk.key"
	kiosksFolder  = "kiosks"
)

// OpenInstallation reads the folder dir, or makes it if it is not there or is
// empty. hosts are names and addresses, beside localhost, under which kiosks
// reach the platform.
func OpenInstallation(dir string, hosts []string, now time.Time) (i *Installation, made bool, err error) {
	i = &Installation{PKI: &PKI{KeyID: statementName}, dir: dir}
	if _, err := os.Stat(filepath.Join(dir, caFile)); errors.Is(err, fs.ErrNotExist) {
		if err := i.make(now); err != nil {
			return nil, false, fmt.Errorf("making the platform's folder: %w", err)
		}
		made = true
	}
	if err := i.read(); err != nil {
		return nil, false, fmt.Errorf("reading the platform's folder %s: %w", dir, err)
	}
	if now.After(i.CA.NotAfter) {
		return nil, false, fmt.Errorf("the certificate authority in %s has ended on %s: choose another folder and give kiosks new certificates", dir, i.CA.NotAfter.Format(time.DateOnly))
	}
	return i, made, i.issueServer(hosts)
}

// kioskID is what may be a kiosk's name: it becomes a folder's.
var kioskID = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// GiveKiosk makes the folder with all that a kiosk is given, if it is not there.
func (i *Installation) GiveKiosk(name string) (folder string, made bool, err error) {
	if !kioskID.MatchString(name) {
		return "", false, fmt.Errorf("%q is no id of a kiosk: letters, digits and dashes, 1 to 64 of them", name)
	}
	folder = filepath.Join(i.dir, kiosksFolder, name)
	if _, err := os.Stat(filepath.Join(folder, kioskKeyFile)); err == nil {
		return folder, false, nil
	}
	_, cert, key, err := i.issue(name, x509.ExtKeyUsageClientAuth, nil)
	if err != nil {
		return "", false, err
	}
	err = writeFolder(folder, map[string][]byte{
		caFile: i.caPEM, kioskFile: cert, kioskKeyFile: key, statementName + ".pem": i.statementPEM, recipientFile: i.recipient,
	})
	if err != nil {
		return "", false, fmt.Errorf("making the folder of a kiosk: %w", err)
	}
	return folder, true, nil
}

//

// make makes all keys, in a folder of another name first.
func (i *Installation) make(now time.Time) error {
	p := &PKI{}
	if err := errors.Join(p.makeCA(now), p.makeStatementKey()); err != nil {
		return err
	}
	caKey, err := privatePEM(p.ca)
	if err != nil {
		return err
	}
	statementKey, err := privatePEM(p.Statement)
	if err != nil {
		return err
	}
	authority, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	public := authority.Recipient().String() + "\n"
	return writeFolder(i.dir, map[string][]byte{
		caFile: p.caPEM, caKeyFile: caKey,
		statementName + ".pem": p.statementPEM, statementName + ".key": statementKey,
		recipientFile: []byte(public),
		AuthorityFile: []byte("# public key: " + public + authority.String() + "\n"),
	})
}

// read reads what make has made.
func (i *Installation) read() (err error) {
	var ca, caKey, statementKey []byte
	for name, into := range map[string]*[]byte{
		caFile: &ca, caKeyFile: &caKey, statementName + ".key": &statementKey,
		statementName + ".pem": &i.statementPEM, recipientFile: &i.recipient,
	} {
		if *into, err = os.ReadFile(filepath.Join(i.dir, name)); err != nil {
			return err
		}
	}
	b, _ := pem.Decode(ca)
	if b == nil {
		return fmt.Errorf("%s is no certificate", caFile)
	}
	if i.CA, err = x509.ParseCertificate(b.Bytes); err != nil {
		return fmt.Errorf("%s: %v", caFile, err)
	}
	i.caPEM = ca
	if i.ca, err = privateKey(caKey); err != nil {
		return fmt.Errorf("%s: %v", caKeyFile, err)
	}
	signer, err := privateKey(statementKey)
	if err != nil {
		return fmt.Errorf("%s.key: %v", statementName, err)
	}
	key, ok := signer.(ed25519.PrivateKey)
	if !ok {
		return fmt.Errorf("%s.key is no Ed25519 key", statementName)
	}
	i.Statement = key
	return nil
}

// writeFolder makes a folder whole or not at all, under a name of its own
// first. One that is there and not empty is left alone.
func writeFolder(dir string, files map[string][]byte) (err error) {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(parent, ".unfinished-") // mode 0700
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temp))
		}
	}()
	for name, data := range files {
		path := filepath.Join(temp, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := writeSynced(path, data); err != nil {
			return err
		}
		if err := durable.SyncDir(filepath.Dir(path)); err != nil {
			return err
		}
	}
	if err := os.Rename(temp, dir); err != nil {
		return fmt.Errorf("%s is there already and not empty: %v", dir, err)
	}
	return durable.SyncDir(parent)
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func privatePEM(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return block("PRIVATE KEY", der), err
}

func privateKey(text []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(text)
	if b == nil {
		return nil, errors.New("no key in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, errors.New("no key in PKCS #8") // the parser's words might repeat some of it
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("a key that cannot sign")
	}
	return signer, nil
}
