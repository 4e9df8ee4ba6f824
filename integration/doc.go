// Package integration runs the seedbed binary against real clients.
//
// It uses only the command line, the --json events and the exit codes of the binary, and the
// interfaces of the clients: libtorrent (through python3-libtorrent), transmission-daemon,
// aria2c and rtorrent. Everything runs in a separate network namespace, in which 10.0.0.0/8
// and a few addresses of fd00::/8 are local. Nothing outside is reachable, whatever the
// defaults of a client are.
//
// The tests need Linux, root, iproute2 and the packages of the clients (`make peers` installs
// them). If something is missing, the tests that need it are skipped with a message; with
// SEEDBED_REQUIRE_PEERS=1 they fail. See docs/testing.md.
//
// Addresses by role, all on port 6881:
//
//	10.1.i.1  permanent DHT nodes: of seedbed (in this process) and of libtorrent
//	10.2.i.1  seeds
//	10.3.i.1  leechers
//	10.4.i.1  command-line tests
//	10.j.i.1  members of crowds: j is the number of the crowd from 21 on, i is 1 for its seed
package integration
