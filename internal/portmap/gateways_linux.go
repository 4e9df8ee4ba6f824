package portmap

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
)

// Flags of a route, as in linux/route.h.
const (
	rtfUp      = 1
	rtfGateway = 2
)

// defaultGateways reads the routing tables of the process's network namespace.
func defaultGateways() ([]gateway, error) {
	v4, err := os.ReadFile("/proc/net/route")
	if err != nil {
		return nil, err
	}
	v6, _ := os.ReadFile("/proc/net/ipv6_route") // absent if IPv6 is disabled
	return append(gateways4(v4), gateways6(v6)...), nil
}

// gateways4 reads lines such as
//
//	eth0	00000000	0101A8C0	0003	0	0	100	00000000	0	0	0
//
// with interface, destination, gateway, flags, two counters, metric and mask. Addresses are in the
// machine's byte order.
func gateways4(table []byte) (list []gateway) {
	for f := range fields(table, 8) {
		flags, _ := strconv.ParseUint(f[3], 16, 32)
		addr, err := strconv.ParseUint(f[2], 16, 32)
		metric, _ := strconv.ParseUint(f[6], 10, 32)
		if f[1] != "00000000" || f[7] != "00000000" || err != nil {
			continue
		}
		var b [4]byte
		binary.NativeEndian.PutUint32(b[:], uint32(addr))
		list = addGateway(list, f[0], netip.AddrFrom4(b), flags, metric)
	}
	return list
}

// gateways6 reads lines with destination, its prefix length, source, its prefix length, gateway,
// metric, two counters, flags and interface; all numbers are hexadecimal.
func gateways6(table []byte) (list []gateway) {
	for f := range fields(table, 10) {
		flags, _ := strconv.ParseUint(f[8], 16, 32)
		metric, _ := strconv.ParseUint(f[5], 16, 32)
		b, err := hex.DecodeString(f[4])
		if f[1] != "00" || strings.Trim(f[0], "0") != "" || err != nil || len(b) != 16 {
			continue
		}
		list = addGateway(list, f[9], netip.AddrFrom16([16]byte(b)), flags, metric)
	}
	return list
}

func addGateway(list []gateway, name string, addr netip.Addr, flags, metric uint64) []gateway {
	nic, err := net.InterfaceByName(name)
	if err != nil || flags&(rtfUp|rtfGateway) != rtfUp|rtfGateway || addr.IsUnspecified() {
		return list
	}
	return append(list, gateway{nic.Index, addr, uint32(metric)})
}

// fields yields the fields of the lines that have at least n.
func fields(table []byte, n int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) >= n && !yield(f) {
				return
			}
		}
	}
}
