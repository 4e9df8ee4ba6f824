package torrentcmd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/session"
	"seedbed/internal/option"
	"seedbed/internal/sealed"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/stream"
	"seedbed/node/tree"
)

// defaultHTTP is the default address of the HTTP server. If it is in use, any free port is
// used.
const defaultHTTP = "127.0.0.1:8008"

// Stream returns the command stream.
func Stream(a *app.App) *cobra.Command {
	var c app.Flags
	st := streaming{addr: defaultHTTP}
	ahead := option.Size(16 << 20)
	var target *remotecmd.Target
	cmd := &cobra.Command{
		Use:   "stream MAGNET|INFOHASH|FILE.torrent|URL|NAME|ID",
		Short: "Play files while they download, over HTTP",
		Long: `Serve the files of a torrent over HTTP while they download, to any player or browser.
What is played next is downloaded first, and only a little way ahead, so that a paused
player does not trigger a download of the whole file. Seeking works at once.

Downloaded data is kept in --dir; seedbed get resumes from it. Ctrl-C stops. NAME is a
domain, such as example.org, whose owner names a publication in the DNS.

If a daemon runs with the same state directory, it downloads the torrent, all of it, and
serves its files at URLs that are valid for a day. A private publication is decrypted and
served by the command itself, at URLs that are valid until it ends. Ctrl-C ends only the
command. ID is the number of a torrent in seedbed list, or at least four digits of its
infohash.`,
		Example: `  seedbed stream 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056' --open mpv
  seedbed stream film.torrent --file 2
  seedbed stream film.torrent --http 192.168.1.5:8008`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("file") && st.file < 1 {
				return exit.Misuse(errors.New("--file takes a number from 1, as in the output of show"))
			}
			st.isAsked = cmd.Flags().Changed("http")
			running, err := target.Running(cmd.Context())
			if err != nil {
				return err
			}
			if running != nil {
				fit := []string{"file", "open", "timeout", "resolver", "accept-change"}
				if !argument.IsID(args[0]) {
					fit = append(fit, "dir", "peer")
				}
				if err := target.Misfit(cmd, fit...); err != nil {
					return err
				}
				s := &handover.Stream{File: st.file, Download: handover.Download{App: a, Target: target, Client: running, Flags: &c, Timeout: c.Timeout, Hooks: new(hook.Hooks)}}
				s.Body = api.AddBody{Peers: c.Peers}
				if st.file > 0 {
					s.Body.Select = []int{st.file}
				}
				if cmd.Flags().Changed("dir") {
					if s.Body.Dir, err = target.Dir(c.Dir); err != nil {
						return err
					}
				}
				s.Resolve = resolveWith(running, 0)
				s.Serve = st.serveTree
				if len(st.open.Words) > 0 {
					s.Play = func(ctx context.Context, what string) bool { return st.playByDaemon(ctx, a, what) }
				}
				return s.Run(cmd.Context(), args[0])
			}
			if argument.IsID(args[0]) {
				return exit.Fail(exit.NotFound, "give a magnet link, an infohash, or the path or URL of a .torrent file, or start seedbed daemon",
					fmt.Errorf("%s is no file, and no daemon runs that could have a torrent of that number or infohash", args[0]))
			}
			cfg, err := c.NodeConfig(cmd.Context())
			if err != nil {
				return err
			}
			spec, err := c.OpenArgument(cmd.Context(), a, args[0])
			if err != nil {
				return err
			}
			if ahead < 1 {
				return exit.Misuse(errors.New("--readahead must be 1 or more"))
			}
			spec.Dir, spec.Peers, spec.ReadAhead = c.Dir, c.Peers, int64(ahead)
			if spec.Link != nil {
				st.secret = spec.Link.Secret
			}
			if cmd.Flags().Changed("file") && !st.secret.CanRead() {
				spec.Select = []int{st.file}
			}
			if err := st.listen(); err != nil {
				return err
			}
			defer st.close()
			s := &session.Session{App: a, Config: cfg, Timeout: c.Timeout, Stay: true, Specs: []node.Spec{spec},
				Serve: func(t *node.Torrent, rep *report.Feed) (<-chan error, func()) {
					return st.serve(cmd.Context(), t, rep)
				}}
			return s.Run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	c.AddDir(fs, "keep downloaded data in `DIR`")
	c.AddNetwork(fs)
	target = remotecmd.AddTarget(fs, c.Values)
	c.AddNames(fs)
	fs.IntVar(&st.file, "file", 0, "play only file `N`, numbered as in the output of show")
	fs.Var(&st.open, "open", "run the player `CMD` with the URL to play; seedbed exits when CMD does")
	fs.Var(&st.addr, "http", "`HOST:PORT` to serve at; requests for other hosts are refused")
	fs.Var(&ahead, "readahead", "how far ahead of a player to download")
	return cmd
}

// streaming is the HTTP side of the command.
type streaming struct {
	addr option.Addr
	open option.Command

	isAsked  bool          // the user has given addr
	file     int           // the number of the file to play; 0: all
	secret   sealed.Secret // of a private publication
	listener net.Listener
	handler  *stream.Server
	over     chan error // buffered: 1
	once     sync.Once
}

// listen opens the listener. If the default address is in use, it uses a free port.
func (s *streaming) listen() (err error) {
	host, _, _ := net.SplitHostPort(string(s.addr)) // validated when it was set
	s.listener, err = net.Listen("tcp", string(s.addr))
	if err != nil && !s.isAsked && errors.Is(err, syscall.EADDRINUSE) {
		s.listener, err = net.Listen("tcp", net.JoinHostPort(host, "0"))
	}
	if err != nil {
		return exit.Fail(exit.Network, "use another --http HOST:PORT", fmt.Errorf("cannot listen at %s: %w", s.addr, err))
	}
	return nil
}

func (s *streaming) close() { s.listener.Close() }

// serve starts to serve t, reports the URLs as soon as they are known, and runs the player. What is
// served of a private publication is known only when its list of files has been decrypted.
func (s *streaming) serve(ctx context.Context, t *node.Torrent, rep *report.Feed) (<-chan error, func()) {
	s.over = make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	var tasks sync.WaitGroup
	tasks.Go(func() {
		var source stream.Source
		if s.secret.CanRead() {
			files, err := tree.OpenSealed(ctx, t, s.secret.Keys())
			if err != nil {
				if ctx.Err() == nil {
					s.end(err)
				}
				return
			}
			source = stream.OfTree(files)
		} else {
			source = stream.OfTorrent(t)
		}
		defer s.handle(source).Close()
		select {
		case <-t.Named():
		case <-ctx.Done():
			return
		}
		if err := s.reportFiles(ctx, report.Named(t, source.Name()), source, rep); err != nil {
			s.end(err)
		}
		<-ctx.Done()
	})
	return s.over, func() {
		cancel()
		tasks.Wait()
	}
}

// serveTree serves the files of a private publication that a daemon downloads until ctx ends, and returns
// those that can be played.
func (s *streaming) serveTree(ctx context.Context, files *tree.Tree) ([]report.Stream, error) {
	if err := s.listen(); err != nil {
		return nil, err
	}
	s.over = make(chan error, 1)
	source := stream.OfTree(files)
	server := s.handle(source)
	context.AfterFunc(ctx, func() { server.Close() })
	return s.files(source)
}

// handle starts to serve source.
func (s *streaming) handle(source stream.Source) *http.Server {
	host, _, _ := net.SplitHostPort(string(s.addr))
	s.handler = stream.New(source, host)
	server := &http.Server{Handler: s.handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
	go func() {
		if err := server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.end(exit.Fail(exit.Network, "", fmt.Errorf("serving at %s: %w", s.listener.Addr(), err)))
		}
	}()
	return server
}

func (s *streaming) end(err error) { s.once.Do(func() { s.over <- err }) }

// reportFiles reports which files can be played at which URLs, and opens the player.
func (s *streaming) reportFiles(ctx context.Context, t report.Torrent, source stream.Source, rep *report.Feed) error {
	files, err := s.files(source)
	if err != nil {
		return err
	}
	rep.Streaming(t, files)
	if len(s.open.Words) == 0 {
		return nil
	}
	return s.play(ctx, handover.ToOpen(files), rep)
}

// files returns the files that can be played, or the one that the user has named.
func (s *streaming) files(source stream.Source) (out []report.Stream, err error) {
	root := url.URL{Scheme: "http", Host: reachable(s.listener.Addr()), Path: "/"}
	files, _ := source.Files()
	for _, f := range files {
		if s.file == 0 || s.file == f.Number {
			out = append(out, report.Stream{Number: f.Number, Path: f.Path, Size: f.Size,
				URL: strings.TrimSuffix(root.String(), "/") + stream.Path(f.Number, f.Path), Root: root.String()})
		}
	}
	if len(out) == 0 {
		return nil, exit.Fail(exit.Usage, "see seedbed show for its files", fmt.Errorf("%s has no file with that number", source.Name()))
	}
	return out, nil
}

// reachable returns an address at which this machine can reach the listener.
func reachable(a net.Addr) string {
	tcp := a.(*net.TCPAddr)
	if tcp.IP.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", fmt.Sprint(tcp.Port))
	}
	return tcp.String()
}

// launchWithin is how long a command may take that only starts a player.
const launchWithin = 5 * time.Second

// playByDaemon runs the player while a daemon serves the files. It returns true when the player has
// ended. A player command that ends soon or fails has perhaps only started the player.
func (s *streaming) playByDaemon(ctx context.Context, a *app.App, what string) bool {
	words := slices.Clone(s.open.Words)
	began := time.Now()
	if err := exec.CommandContext(ctx, words[0], append(words[1:], what)...).Run(); err != nil && ctx.Err() == nil {
		a.Warn(exit.Fail(exit.Unknown, "open "+what+" in a player", fmt.Errorf("%s: %w", words[0], err)))
		return false
	}
	return time.Since(began) > launchWithin
}

// settleFor is how long play waits for open connections after the player has ended.
const settleFor = time.Second

// play runs the player. When the player ends, the command ends too. If the player command
// ends before anything was played, or during playback, it has only started the player, and
// the command continues.
func (s *streaming) play(ctx context.Context, what string, rep *report.Feed) error {
	words := slices.Clone(s.open.Words)
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], what)...)
	err := cmd.Run()
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", words[0], err)
		rep.Warn(exit.Fail(exit.Unknown, "open "+what+" in a player", err))
		return nil
	}
	for range 10 {
		served, open := s.handler.Requests()
		if served > 0 && open == 0 {
			s.end(nil)
			return nil
		}
		select {
		case <-time.After(settleFor / 10):
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}
