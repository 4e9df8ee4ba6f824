// Package engine is one torrent's decisions, and nothing else: it has no
// goroutine, socket, file, clock or global source of randomness. A shell tells it
// what happened ([Event], [BlockEvent]) and when, and it answers with what is to be
// done ([Command]). The same events and the same [Config.Seed] give the same
// commands, byte for byte; its tests run whole swarms on one goroutine.
//
// # The machines
//
// Most decisions are made by machines: types that know neither [Engine] nor its
// peers nor one another (shape_test.go checks that). Each owns its state and what it
// knows of each peer, and is tested alone. Engine is the dispatcher between them:
// it takes events, calls the machines with the time and with facts, and turns what
// they decide into commands. No machine calls another, but for the requester, which is
// composed of four smaller ones.
//
//	events ──▶ Engine (engine.go, message.go, extension.go, peer.go, content.go) ──▶ commands
//	             │
//	             │ calls                machine           its file       the engine's side of it
//	             ├─ whom to dial ─────▶ book              candidates.go  engine.go, peer.go
//	             │                                        bans.go, unproven.go
//	             ├─ info dictionary ──▶ metadataPhase     metadata.go    ut_metadata.go
//	             ├─ piece layers ─────▶ layerPhase        layers.go      hashes.go
//	             ├─ what to request ──▶ requester         requester.go   requests.go, content.go,
//	             │    of which parts are picker, slots,   picker.go      message.go
//	             │    focus and standing                  and others
//	             ├─ who sent bad data ▶ blame             blame.go       verdict.go
//	             ├─ whom to unchoke, ─▶ choker            choke.go       chokes.go, upload.go
//	             │    and its share                       merit.go, stalled.go
//	             ├─ what to send next ▶ uploader          uploader.go    upload.go
//	             ├─ who gets a piece ─▶ spread            spread.go      spreads.go, upload.go
//	             │    that nobody has
//	             └─ what to announce ─▶ superSeeder       super.go       offer.go
//
// A machine that has to ask something or to have something done in the middle of a
// decision does it through a small interface of its own file (requestSink, chokeSink,
// uploadSink, spreadFacts, metaSink, rarity), which the engine's side implements.
//
// # From an address to a complete torrent
//
//	candidates ──dial──▶ peers ──metadata──▶ EvInfo ──▶ pieces ──▶ complete
//
// Addresses come in with EvCandidates and wait in the book (candidates.go),
// ranked by how they were learned and what became of them. What only the DHT or
// PEX names is limited, so that nobody can aim us at a third party
// (unproven.go). The engine asks to dial the best under the half-open budget. A
// finished handshake becomes a peer (peer.go), if it is not ourselves, banned
// (bans.go), or a second connection to someone we know. At the connection cap it
// takes the place of one that is of no use (room.go), if there is one. Peers tell
// what they have (message.go) and what they can do (extension.go).
//
// While only the infohash is known, the metadata phase asks several peers for the
// info dictionary at once. A torrent that is v2 alone needs its piece layers too,
// which the layer phase collects. The shell then opens storage and answers EvInfo.
//
// From then on payload flows, past the engine but by its order:
//
//	picker ──piece──▶ chunk + slot ──leases──▶ CmdRequest … BlockArrived
//	   ▲                                                      │ all blocks in
//	   └── again, on a bad hash ◀── EvVerified ◀── CmdStore ◀─┘
//	                                   │ good
//	                                   ▼
//	                        have, interest, CmdComplete
//
// The picker (picker.go) keeps the pieces that nobody has begun in order of
// rarity. A piece that is begun is cut into chunks (pieces.go), each of which
// needs one slot of the budget (slots.go) for as long as it is open. A chunk's blocks
// are leased to peers (request.go, lease.go), as many to each as it can deliver in a
// few seconds. How much a peer may hold up follows what it delivered (standing.go);
// what it owes for too long goes to another (weak.go, scarce.go), and so does what would
// come much sooner from a peer that has nothing else to send us (steal.go). What a reader
// waits for comes first (focus.go, focused.go). A whole chunk goes to the shell to be hashed
// and written, which gives its slot back (verified.go). When a hash fails, blame.go
// finds who lied, by the block, and bans the liar alone, and the piece is asked of one
// peer at a time (parole.go).
//
// # From a request to the uplink
//
//	        choker: slots        spread: urgency
//	          │                    │
//	          ▼                    ▼
//	requests ──▶ queue of each peer ──uploader──▶ CmdUpload … BlockUploaded
//	                               ▲
//	                               │
//	                             weight: merit, or spread
//
// The choker decides which peers hold the upload slots (choke.go): while we download, those
// that send us most, and when we are complete, all in turn. A peer that took nothing when it
// was unchoked waits (stalled.go).
//
// The uploader decides which of the queued requests is handed to the shell next
// (uploader.go). If an upload limit is known, it sends one piece to one peer, then one piece
// to the next, because a peer can pass on only whole pieces. Peers share the uplink by weight:
// while we download by what each sends us (merit.go), and when we are complete by how soon
// each passes pieces on (spread.go). Without a known limit each peer has a window, and TCP
// divides the uplink.
//
// The spread is for the only seed of a swarm. It watches which peers pass on the pieces that
// they have from us alone, ranks requests by that, and suggests to each peer a piece that no
// other peer gets (BEP 6). The super-seeder does more: it announces only such pieces (BEP 16).
// docs/cooperation.md has the reasons and the measurements.
//
// A peer's fault is a value: it costs that peer its connection ([FaultProtocol]).
// A broken invariant of ours panics. Every list that a peer can make grow has a
// cap, named where it is declared.
//
// Drain does once, for a whole batch of events, what was put off until then:
// requests are refilled, uploads handed out, haves announced. A shell steps all that
// it has, then drains.
package engine
