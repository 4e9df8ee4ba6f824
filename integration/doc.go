// Package integration runs the seedbed binary against real clients.
//
// It knows the binary by its command line, its --json events and its exit
// codes, and the clients by theirs: libtorrent (through python3-libtorrent),
// transmission-daemon, aria2c and rtorrent. Everything happens in a network
// namespace of its own in which 10.0.0.0/8 and a few addresses of fd00::/8 are
// local, so nothing outside is reachable whatever a client's defaults are.
//
// The tests need Linux, root, iproute2 and the clients' packages (`make peers`
// installs them). What is missing is said in the skip; with
// SEEDBED_REQUIRE_PEERS=1 it is a failure. See docs/testing.md.
//
// Addresses by role, all on port 6881:
//
//	10.1.i.1  the DHT's own nodes: seedbed's (in this process) and libtorrent's
//	10.2.i.1  who seeds
//	10.3.i.1  who leeches
//	10.4.i.1  command-line tests
//	10.j.i.1  members of crowds: j from 21 is the crowd, i is 1 for its seed
package integration
