// Package lsd implements local service discovery (BEP 14): peers on one local network find each
// other by multicast, without the DHT or the internet.
//
// A Service announces the torrents of a node to both groups, IPv4 and IPv6, and reports peers
// whose announces it receives. Message, with Parse and Append, is the codec of an announce.
// schedule decides what is announced when, and intake which announces are used; like the codec
// they have no clock and no goroutine.
//
// An announce reveals the infohash to the whole local network, so the caller must not give
// private torrents to a Service (BEP 27). What a Service reports is unverified: anyone in the local
// network can send an announce, also one with the address of another machine.
package lsd
