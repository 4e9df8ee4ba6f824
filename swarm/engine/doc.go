// Package engine is one torrent's decisions, and nothing else: it has no
// goroutine, socket, file, clock or global dice. A shell tells it what happened
// ([Event]) with the time at which it did, and it answers with what is to be
// done ([Command]). The same events and the same [Config.Seed] give the same
// commands, byte for byte; whole swarms run in its tests on one goroutine.
//
//	candidates ──dial──▶ peers ──metadata──▶ EvInfo ──▶ pieces ──▶ complete
//
// Addresses come in with EvCandidates and wait in the book (candidates.go),
// ranked by how they were learned and what became of them. What only the DHT or
// PEX names is limited, so that nobody can aim us at a third party
// (unproven.go). The engine asks to dial the best under the half-open budget. A
// finished handshake becomes a peer (peer.go), if it is not ourselves, banned
// (bans.go), or a second connection to someone we know. At the connection cap it
// takes the place of one that is of no use (room.go), if there is one. Peers tell what they have (message.go) and what they can do
// (extension.go).
//
// While only the infohash is known, metadata.go asks several peers for the info
// dictionary at once. The shell then opens storage and answers EvInfo.
//
// From then on payload flows, past the engine but by its order:
//
//	picker ──piece──▶ chunk + slot ──leases──▶ CmdRequest … EvBlock
//	   ▲                                                      │ all blocks in
//	   └── again, on a bad hash ◀── EvVerified ◀── CmdStore ◀─┘
//	                                   │ good
//	                                   ▼
//	                        have, interest, CmdComplete
//
// The picker (picker.go) keeps the pieces that nobody has begun in order of
// rarity. A piece that is begun is cut into chunks (pieces.go), each of which
// needs one slot of the budget for as long as it is open. A chunk's blocks are
// leased to peers (request.go), as many to each as it can deliver in a few
// seconds. How much a peer may hold up follows what it delivered (standing.go); what
// it owes for too long goes to another (weak.go, scarce.go). A whole chunk goes to the
// shell to be hashed and written, which gives its slot back. When a hash fails,
// blame.go finds who lied, by the block, and bans the liar alone.
//
// The other way, choke.go decides whom we serve and upload.go how much of what
// they asked for is handed to the shell at a time.
//
// A peer's fault is a value: it costs that peer its connection ([FaultProtocol]).
// A broken invariant of ours panics. Every list that a peer can make grow has a
// cap, named where it is declared.
//
// Drain is where work that was put off is done once for a whole batch of
// events: requests are refilled, uploads handed out, haves announced. A shell
// steps all that it has, then drains.
package engine
