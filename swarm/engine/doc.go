// Package engine makes the decisions of one torrent, and does nothing else: it has no
// goroutine, socket, file, clock or global source of randomness. The caller (the shell)
// reports what happened ([Event], [BlockEvent]) and when, and the engine returns what to
// do ([Command]). The same events and the same [Config.Seed] give the same commands, byte
// for byte. The tests run whole swarms on one goroutine.
//
// # The machines
//
// Most decisions are made by machines: types that know neither [Engine] nor its peers nor
// one another (shape_test.go checks that). Each machine owns its state, including what it
// knows about each peer, and is tested alone. Engine is the dispatcher: it receives
// events, calls the machines with the time and with facts, and turns their decisions into
// commands. No machine calls another, except that the requester is composed of four
// smaller ones.
//
//	events ──▶ Engine (engine.go, message.go, extension.go, peer.go, content.go) ──▶ commands
//	             │
//	             │ calls                machine           its file       the engine's side of it
//	             ├─ whom to dial ─────▶ book              candidates.go  engine.go, peer.go
//	             │                                        dialing.go, bans.go,
//	             │                                        unproven.go, punchable.go
//	             ├─ hole punching ────▶ puncher           puncher.go     holepunch.go
//	             ├─ new versions ─────▶ pusher            pusher.go      items.go
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
// A machine that needs an answer or an action in the middle of a decision calls a small
// interface declared in its own file (requestSink, chokeSink, uploadSink, spreadFacts,
// metaSink, rarity). The engine's side implements it.
//
// # From an address to a complete torrent
//
//	candidates ──dial──▶ peers ──metadata──▶ EvInfo ──▶ pieces ──▶ complete
//
// Addresses arrive with EvCandidates and wait in the book (candidates.go), ranked by their
// source and by the results of earlier dials. Addresses that only the DHT, PEX or the
// local network has named are limited, so that nobody can use us to attack a third party
// (unproven.go). The engine dials the best ones within its limit of half-open connections.
// After the handshake, the connection becomes a peer (peer.go), unless it leads to
// ourselves, is banned (bans.go), or is a second connection to a known peer. At the
// connection limit it replaces a connection that is not useful, if there is one
// (replace.go), or one of lower priority (priority.go). Peers then send what they have
// (message.go) and which extensions they support (extension.go).
//
// While only the infohash is known, the metadata phase requests the info dictionary from
// several peers at once. A v2-only torrent also needs its piece layers, which the layer
// phase collects. The shell then opens storage and answers with EvInfo.
//
// Payload then flows directly between the shell and the peers, as the engine's commands
// say:
//
//	picker ──piece──▶ chunk + slot ─requests─▶ CmdRequest … BlockArrived
//	   ▲                                                      │ all blocks in
//	   └── again, on a bad hash ◀── EvVerified ◀── CmdStore ◀─┘
//	                                   │ good
//	                                   ▼
//	                        have, interest, CmdComplete
//
// The picker (picker.go) keeps the pieces that have not been begun in order of rarity.
// When a piece is begun, it is divided into chunks (pieces.go). Each open chunk occupies
// one buffer slot of the budget (slots.go). The blocks of a chunk are requested from
// peers (request.go, outstanding.go); each peer gets as many as it can deliver in a few
// seconds. How much of the memory a peer may occupy depends on what it has delivered
// (standing.go). Overdue blocks move to another peer (weak.go, scarce.go). So do blocks
// that would arrive much sooner from a peer that has nothing else to send us (steal.go).
// Pieces that a reader is waiting for come first (focus.go, focused.go). The shell hashes
// and writes a full chunk, which frees its slot (verified.go). When a hash fails,
// blame.go finds the sender of the bad block and bans only that peer. The piece is then
// requested from one peer at a time (parole.go).
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
// The choker decides which peers get upload slots (choke.go): while we download, the
// peers that send us most; when we are complete, all peers in turn. A peer that took no
// data while it was unchoked has to wait (stalled.go).
//
// The uploader decides which queued request goes to the shell next (uploader.go). If an
// upload limit is known, it sends one piece to one peer, then one piece to the next,
// because a peer can pass on only complete pieces. Peers share the uplink by weight.
// While we download, the weight is what each peer sends us (merit.go); when we are
// complete, it is how soon each passes pieces on (spread.go). Without a known limit each
// peer has a window, and TCP divides the uplink.
//
// The spread is used by the only seed of a swarm. It observes which peers pass on the
// pieces that they can have only from us, ranks requests by that, and suggests a
// different piece to each peer (BEP 6). The super-seeder goes further: it announces only
// such pieces (BEP 16). docs/cooperation.md has the reasons and the measurements.
//
// A peer's fault is a value: it costs that peer its connection ([FaultProtocol]). A
// broken invariant of ours panics. Every list that a peer can make grow has a limit,
// which is named where the list is declared.
//
// Drain does the work that can be done once for a batch of events: it requests more
// blocks, hands out uploads and announces haves. A shell calls Step for all pending
// events, then Drain.
package engine
