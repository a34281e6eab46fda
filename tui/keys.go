package tui

import (
	"charm.land/bubbles/v2/key"
)

// A keyMap holds every key, once: what Update asks and what help shows.
type keyMap struct {
	Overview, Suspects, Token, Map, Try, Repair key.Binding
	Next, Previous                              key.Binding
	Help, Palette, Quit, Interrupt, Escape      key.Binding

	Up, Down, PageUp, PageDown, Top, Bottom, Left, Right, Open, ZoomIn, ZoomOut key.Binding

	Filter, Sort, Reverse, Status, Seen, Class, Marked, Clear key.Binding
	Trigger, Benign, Unsure, Unmark, Note, Undo               key.Binding

	NextSuspect, PreviousSuspect key.Binding
	Edit                         key.Binding
	Yes, Output, Plan            key.Binding
	Rescan                       key.Binding
}

func bind(help, what string, keys ...string) key.Binding {
	return key.NewBinding(key.WithKeys(keys...), key.WithHelp(help, what))
}

func newKeyMap() keyMap {
	return keyMap{
		Overview: bind("1", "overview", "1"),
		Suspects: bind("2", "suspects", "2"),
		Token:    bind("3", "token", "3"),
		Map:      bind("4", "map", "4"),
		Try:      bind("5", "try it", "5"),
		Repair:   bind("6", "repair", "6"),
		Next:     bind("tab", "next screen", "tab"),
		Previous: bind("shift+tab", "previous screen", "shift+tab"),

		Help:      bind("?", "help", "?"),
		Palette:   bind(": ctrl+p", "all actions", ":", "ctrl+p"),
		Quit:      bind("q", "quit", "q"),
		Interrupt: bind("ctrl+c", "cancel, quit", "ctrl+c"),
		Escape:    bind("esc", "cancel, back", "esc"),

		Up:       bind("↑ k", "up", "up", "k"),
		Down:     bind("↓ j", "down", "down", "j"),
		PageUp:   bind("pgup", "page up", "pgup", "ctrl+b"),
		PageDown: bind("pgdn", "page down", "pgdown", "ctrl+f"),
		Top:      bind("g", "to the top", "home", "g"),
		Bottom:   bind("G", "to the end", "end", "G"),
		Left:     bind("← h", "left", "left", "h"),
		Right:    bind("→ l", "right", "right", "l"),
		Open:     bind("enter", "open", "enter"),
		ZoomIn:   bind("+", "closer", "+", "="),
		ZoomOut:  bind("-", "farther", "-"),

		Filter:  bind("/", "filter", "/"),
		Sort:    bind("s", "sort", "s"),
		Reverse: bind("S", "reverse order", "S"),
		Status:  bind("f", "status", "f"),
		Seen:    bind("v", "seen or unseen", "v"),
		Class:   bind("c", "script or class", "c"),
		Marked:  bind("d", "decided or not", "d"),
		Clear:   bind("0", "no filters", "0"),

		Trigger: bind("t", "trigger", "t"),
		Benign:  bind("b", "benign", "b"),
		Unsure:  bind("m", "unsure", "m"),
		Unmark:  bind("x", "take the mark off", "x"),
		Note:    bind("n", "note, expiry", "n"),
		Undo:    bind("u", "undo", "u"),

		NextSuspect:     bind("]", "next suspect", "]"),
		PreviousSuspect: bind("[", "previous suspect", "["),

		Edit:   bind("i", "type a text", "i", "enter"),
		Plan:   bind("p", "plan again", "p"),
		Yes:    bind("y", "start the repair", "y"),
		Output: bind("o", "output folder", "o"),
		Rescan: bind("r", "scan again", "r"),
	}
}

// A keyGroup is a part of the help.
type keyGroup struct {
	title string
	on    []screen // where its keys do something; empty: everywhere
	keys  []key.Binding
}

// groups are all keys.
func (k *keyMap) groups() []keyGroup {
	return []keyGroup{
		{"Screens", nil, []key.Binding{k.Overview, k.Suspects, k.Token, k.Map, k.Try, k.Repair, k.Next, k.Previous}},
		{"Anywhere", nil, []key.Binding{k.Help, k.Palette, k.Escape, k.Quit, k.Interrupt, k.Rescan, k.Undo}},
		{"Moving", nil, []key.Binding{k.Up, k.Down, k.PageUp, k.PageDown, k.Top, k.Bottom, k.Open}},
		{"Suspects: show only", []screen{screenSuspects}, []key.Binding{k.Filter, k.Sort, k.Reverse, k.Status, k.Seen, k.Class, k.Marked, k.Clear}},
		{"Deciding: mark as", []screen{screenSuspects, screenToken, screenMap, screenTry}, []key.Binding{k.Trigger, k.Benign, k.Unsure, k.Unmark, k.Note}},
		{"Token, map and try", []screen{screenToken, screenMap, screenTry}, []key.Binding{k.NextSuspect, k.PreviousSuspect}},
		{"Map", []screen{screenMap}, []key.Binding{k.Left, k.Right, k.ZoomIn, k.ZoomOut}},
		{"Try it", []screen{screenTry}, []key.Binding{k.Edit}},
		{"Repair", []screen{screenRepair}, []key.Binding{k.Yes, k.Output, k.Plan}},
	}
}

// short are the keys of a screen for its last line.
func (k *keyMap) short(s screen) []key.Binding {
	switch s {
	case screenOverview:
		return []key.Binding{k.Help, k.Palette, k.Next, k.Down, k.Rescan, k.Escape, k.Quit}
	case screenSuspects:
		return []key.Binding{k.Help, k.Open, k.Filter, k.Sort, k.Trigger, k.Benign, k.Undo, k.Status, k.Seen, k.Class, k.Quit}
	case screenToken:
		return []key.Binding{k.Help, k.Trigger, k.Benign, k.Note, k.NextSuspect, k.Escape, k.Unsure, k.Undo, k.Down}
	case screenMap:
		return []key.Binding{k.Help, k.Left, k.Right, k.ZoomIn, k.NextSuspect, k.PreviousSuspect, k.Open}
	case screenTry:
		return []key.Binding{k.Help, k.Edit, k.NextSuspect, k.PreviousSuspect, k.Quit}
	}
	return []key.Binding{k.Help, k.Yes, k.Output, k.Plan, k.Escape, k.Quit}
}
