package publish

import "context"

// turn is a mutex that is held for minutes, so that waiting for it ends with a context. It is made with newTurn.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// Lock waits for the turn.
func (t turn) Lock() { t <- struct{}{} }

// Unlock ends the turn.
func (t turn) Unlock() { <-t }

// lockWithin waits for the turn, or returns the error of ctx.
func (t turn) lockWithin(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
