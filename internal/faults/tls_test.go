package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"
)

// certified returns what a server takes that has a certificate for an IP address, good until a time, and what a client
// takes that trusts it.
func certified(t *testing.T, ip string, until time.Time) (server, client *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(ip)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	server = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	return server, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// TestTLS has handshakes fail. No request is sent then, and a create knows it.
func TestTLS(t *testing.T) {
	t.Parallel()
	const title = "TLS"
	tomorrow := time.Now().Add(24 * time.Hour)
	server, client := certified(t, "127.0.0.1", tomorrow)
	wrongName, trusting := certified(t, "127.0.0.2", tomorrow)
	expired, trustingToo := certified(t, "127.0.0.1", time.Now().Add(-24*time.Hour))
	plain := func(t *testing.T, _ *world) string {
		t.Helper()
		return newWorld(t, nil).addr
	}
	handshake := func(n int, how manner) func(t *testing.T, w *world) string {
		return broken(breakage{false, after(n), how})
	}

	fault{name: "a good certificate", server: server, client: client, always: harmless()}.run(t, title)
	for _, test := range []struct {
		cause string
		fault fault
	}{
		{"wrong name", fault{name: "a certificate for another host", server: wrongName, client: trusting}},
		{"untrusted", fault{name: "a certificate that nobody signed", server: server, client: trusting}},
		{"expired", fault{name: "an expired certificate", server: expired, client: trustingToo}},
		{"no TLS", fault{name: "no TLS behind https", server: server, client: client, between: plain}},
		{"cut", fault{name: "handshake reset", server: server, client: client, between: handshake(40, reset)}},
		{"cut", fault{name: "handshake closed", server: server, client: client, between: handshake(40, closed)}},
		{"cut", fault{name: "handshake half-closed", server: server, client: client, between: handshake(40, halfDone)}},
		{"timeout", fault{name: "handshake without an end", server: server, client: client, between: handshake(40, silent)}},
	} {
		always, once := notSent(test.cause)
		test.fault.always = always
		if test.fault.between != nil {
			test.fault.once = once
		}
		test.fault.run(t, title)
	}
}
