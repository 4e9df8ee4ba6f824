package engine

// slots manages the budget of slots. If the budget shrinks, a slot above it is not reused
// after it is freed.
type slots struct {
	budget int
	free   []Slot
	used   []bool
	inUse  int
}

func (s *slots) resize(n int) {
	s.budget = n
	for len(s.used) < n {
		s.used = append(s.used, false)
	}
	s.free = s.free[:0]
	for i := n - 1; i >= 0; i-- {
		if !s.used[i] {
			s.free = append(s.free, Slot(i))
		}
	}
}

func (s *slots) take() (Slot, bool) {
	if len(s.free) == 0 || s.inUse >= s.budget {
		return NoSlot, false
	}
	v := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.used[v] = true
	s.inUse++
	return v, true
}

func (s *slots) give(v Slot) {
	if int(v) >= len(s.used) || !s.used[v] {
		panic("engine: freed a slot that was not in use")
	}
	s.used[v] = false
	s.inUse--
	if int(v) < s.budget {
		s.free = append(s.free, v)
	}
}

func (s *slots) available() bool { return len(s.free) > 0 && s.inUse < s.budget }
