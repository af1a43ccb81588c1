package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"

	"example.com/zai/api"
)

// Which addresses a service may reach is for its owner to say: the client refuses loopback by
// name, but a name can stand for any address, and every private network is another. Control
// sees the address itself, after the name was looked up and before the connection is made, for
// the API as for downloads and what they redirect to.
func Example_privateAddresses() {
	errPrivate := errors.New("not a public address")
	dialer := &net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		ip := to.Addr().Unmap()
		if !ip.IsGlobalUnicast() || ip.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(ip) {
			return errPrivate
		}
		return nil
	}}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // Through a proxy, it is the proxy that connects.
	transport.DialContext = dialer.DialContext
	client, err := api.New("id.secret", api.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, address := range []string{
		"https://169.254.169.254/latest/meta-data", // cloud metadata
		"https://10.0.0.7/v.mp4",
		"https://[fd00::1]/v.mp4",
		"https://[::ffff:192.168.1.1]/v.mp4",
		"https://100.100.100.200/v.mp4",
	} {
		_, err := client.Download(context.Background(), address, io.Discard)
		fmt.Println(errors.Is(err, errPrivate), err)
	}
	// Output:
	// true zai: download: dial tcp 169.254.169.254:443: not a public address
	// true zai: download: dial tcp 10.0.0.7:443: not a public address
	// true zai: download: dial tcp [fd00::1]:443: not a public address
	// true zai: download: dial tcp 192.168.1.1:443: not a public address
	// true zai: download: dial tcp 100.100.100.200:443: not a public address
}
