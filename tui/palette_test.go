package tui

import (
	"slices"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

func TestKeyPress(t *testing.T) {
	keys := newKeyMap()
	for _, a := range newPalette(&keys).all {
		for _, name := range a.key.Keys() {
			if got := keyPress(name).String(); got != name {
				t.Errorf("the press of %q is %q", name, got)
			}
		}
	}
}

// The palette finds an action, goes to where it is one, and does it.
func TestPalette(t *testing.T) {
	d := drive(t, full(), 80, 24)
	find := func(text string) {
		t.Helper()
		d.keys(":")
		for _, k := range text {
			d.keys(string(k))
		}
	}
	find("REVERSE order")
	d.has("S", "reverse order", "Suspects: show only")
	d.hasNot("shift+tab")
	d.keys("enter")
	d.has("[2 Suspects]", "by rank, reversed")
	find("zzz")
	d.has("no action is called that")
	d.keys("enter", "esc")
	d.has("by rank, reversed")
	d.keys("S")
	find("deciding")
	d.keys("down", "enter")
	d.has(`"cf": benign`)
	find("quit")
	_, cmd := d.m.Update(press("enter"))
	if msg, ok := cmd().(tea.QuitMsg); !ok {
		t.Errorf("quit gives %v", msg)
	}
}

// Enter writes nothing, in the palette either.
func TestPaletteStartsNoRepair(t *testing.T) {
	d := drive(t, full(), 80, 24)
	d.keys(":", "s", "t", "a", "r", "t", " ", "r", "e", "p", "enter")
	d.has("[6 Repair]", "y starts it; the copy is written to model-clean")
	if d.m.repairJob.run != 0 {
		t.Fatal("a repair was started")
	}
	d.keys("y")
	d.has("CLEAN")
}

// Every action of every screen is in the palette and can be chosen there.
func TestPaletteActs(t *testing.T) {
	keys := newKeyMap()
	n := len(newPalette(&keys).all)
	for i := range n {
		d := drive(t, full(), 60, 20)
		d.keys("2", "enter", ":")
		d.m.palette.move(i)
		a := *d.m.palette.at()
		d.screen()
		if a.key.Help() == keys.Quit.Help() || a.key.Help() == keys.Interrupt.Help() {
			continue
		}
		d.keys("enter")
		d.screen()
		if len(a.on) > 0 && !slices.Contains(a.on, d.m.screen) {
			t.Errorf("%s is done on screen %d", a.key.Help().Desc, d.m.screen)
		}
		if d.m.palette != nil && a.key.Help() != keys.Palette.Help() {
			t.Errorf("%s leaves the palette open", a.key.Help().Desc)
		}
	}
	all := map[string]bool{}
	for _, a := range newPalette(&keys).all {
		all[a.key.Help().Key] = true
	}
	for s := range screens {
		for _, k := range keys.short(s) {
			if !all[k.Help().Key] {
				t.Errorf("%q is not in the palette", k.Help().Key)
			}
		}
	}
}

func TestMouse(t *testing.T) {
	d := drive(t, full(), 80, 24)
	click := func(line, part string) {
		t.Helper()
		for y, l := range strings.Split(d.screen(), "\n") {
			if strings.Contains(l, line) {
				x := len([]rune(l[:strings.Index(l, part)]))
				d.send(tea.MouseClickMsg{X: x, Y: y, Button: tea.MouseLeft})
				return
			}
		}
		t.Fatalf("%q is not on the screen:\n%s", line, d.screen())
	}
	click("2 Suspects", "2 Suspects")
	d.has("[2 Suspects]")
	click("great", "great")
	if s := d.m.table.at(d.m.x); s.Token != "great" {
		t.Fatalf("at %v", s)
	}
	d.send(tea.MouseWheelMsg{Button: tea.MouseWheelUp})
	if s := d.m.table.at(d.m.x); s.Token != "mn" {
		t.Fatalf("after the wheel at %v", s)
	}
	d.send(tea.MouseClickMsg{X: 1, Y: 4, Button: tea.MouseLeft}) // the titles
	d.send(tea.MouseClickMsg{X: 1, Y: 23, Button: tea.MouseLeft})
	d.send(tea.MouseClickMsg{X: 79, Y: 1, Button: tea.MouseLeft})
	for range 4 {
		d.send(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	}
	d.keys("G")
	click("word4", "word4")
	click("word4", "word4")
	d.has("[3 Token]", "word4")
	d.send(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	if d.m.detail.from != wheelStep {
		t.Errorf("the token is scrolled to %d", d.m.detail.from)
	}
	d.keys(":", "m", "a", "p")
	click("map ", "map ")
	d.has("[4 Map]")
	d.keys("2", "n")
	d.send(tea.MouseWheelMsg{Button: tea.MouseWheelDown})
	click("3 Token", "3 Token")
	d.has("[2 Suspects]", "note")
}

// Closer or not, the arrows reach every part of the map, from one end to the other.
func TestMapPans(t *testing.T) {
	for zoom := range 4 {
		d := drive(t, full(), 80, 24)
		d.keys("4")
		for range zoom {
			d.keys("+")
		}
		last := d.m.x.vocabulary() - 1
		for _, way := range []struct {
			key      string
			from, to int
		}{{"right", 0, last}, {"left", last, 0}} {
			d.m.scatter.id = way.from
			seen := map[int]bool{}
			for range 2 * last {
				before := d.m.scatter.id
				d.keys(way.key)
				id := d.m.scatter.id
				if id == before {
					break
				}
				if (id > before) != (way.to > way.from) || seen[id] {
					t.Fatalf("zoom %d, %s: from %d to %d", zoom, way.key, before, id)
				}
				seen[id] = true
			}
			if far := max(d.m.scatter.id-way.to, way.to-d.m.scatter.id); far > last/10 || len(seen) < 10 {
				t.Errorf("zoom %d, %s: ends at %d of %d after %d steps", zoom, way.key, d.m.scatter.id, last, len(seen))
			}
		}
		d.keys("-", "-", "-", "-")
		d.has("low ids are frequent")
	}
}
