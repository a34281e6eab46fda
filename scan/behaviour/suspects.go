package behaviour

import "slices"

// suspects are the first tokens by weight.
func (r *run) suspects() (ids []int32) {
	for _, id := range r.opt.Suspects {
		if len(ids) == guided {
			break
		}
		if id < r.opt.Rows.Len() && !r.tok.Skip(id) {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// trySuspects tries what is known before the vocabulary is searched.
func (r *run) trySuspects() error {
	var cs []*candidate
	add := func(ids []int32, source string, where place) {
		if c := r.add(ids, source, where); c != nil && !slices.Contains(cs, c) {
			cs = append(cs, c)
		}
	}
	for _, text := range r.opt.Candidates {
		ids := r.tok.Inner(text)
		add(ids, "user", anywhere)
		if len(ids) > 1 { // it may be a clause; a word in front alone may be a question's
			add(ids, "user", front)
		}
	}
	n := len(cs)
	for _, id := range r.suspects() {
		add(single(id), "weights", anywhere)
	}
	for _, id := range r.opt.Also {
		if id < r.opt.Rows.Len() && !r.tok.Skip(id) {
			add(single(int32(id)), "vocabulary", anywhere)
		}
	}
	for _, s := range structures {
		for _, text := range s.texts {
			add(r.tok.Inner(text), "structure", s.place)
		}
	}
	// What the user asks for, and what the weights say, is tried first, and to the end.
	if err := r.enter(append(slices.Clone(cs[:n]), r.first(foremost)...), min(24, len(r.contest))); err != nil {
		return err
	}
	return r.race(cs)
}

// first are the n suspects that the weights show most.
func (r *run) first(n int) (cs []*candidate) {
	for _, id := range r.suspects() {
		if len(cs) == n {
			break
		}
		cs = append(cs, r.tried[key(single(id), anywhere)])
	}
	return cs
}

// search looks for tokens in the whole vocabulary: by the gradient at a neutral
// token in the contest, and then at those tokens that did best there, which
// shows the neighbourhood of a trigger that the first look only came near to.
func (r *run) search() error {
	if len(r.contest) == 0 {
		return nil
	}
	n := searched
	if r.opt.Thorough {
		n *= 3
	}
	neutral := r.neutral()
	centres := func(int) []int32 { return neutral }
	passes := 2
	if r.opt.Thorough {
		passes = 3
	}
	for range passes {
		tops, err := r.screen(func(a int) []probe { return losing(r.contest, a, 32) }, centres, r.share(n, 16))
		if err != nil {
			return err
		}
		var cs []*candidate
		for _, top := range tops {
			for _, id := range top {
				if c := r.add(single(id), "vocabulary", anywhere); c != nil && !slices.Contains(cs, c) {
					cs = append(cs, c)
				}
			}
		}
		if err := r.race(cs); err != nil {
			return err
		}
		centres = func(a int) []int32 { return r.leaders(a, 8) }
		n = max(64, n/2)
	}
	return nil
}

// leaders are the tokens that do most for an answer.
func (r *run) leaders(a, n int) (ids []int32) {
	var top []scored
	for _, c := range r.order {
		if len(c.ids) == 1 && c.effect[a].n > 0 {
			top = highest(top, scored{c.ids[0], c.effect[a].mean()}, n)
		}
	}
	for _, s := range top {
		ids = append(ids, s.id)
	}
	return ids
}
