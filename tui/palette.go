package tui

import (
	"fmt"
	"slices"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"
)

// A palette is the list of all actions, to be found by their names.
type palette struct {
	input  lineInput
	all    []action
	shown  []action // those that the input lets through
	cursor int      // in shown
	top    int      // first on the screen
	height int      // actions on the screen, of the last Render
}

// An action is a key that does something, and where.
type action struct {
	group string
	on    []screen // empty: everywhere
	key   key.Binding
}

func newPalette(keys *keyMap) *palette {
	p := &palette{}
	for _, g := range keys.groups() {
		for _, k := range g.keys {
			p.all = append(p.all, action{g.title, g.on, k})
		}
	}
	p.refresh()
	return p
}

// refresh filters anew: every word of the input is somewhere in what an action
// says.
func (p *palette) refresh() {
	p.shown, p.cursor = nil, 0
	words := strings.Fields(strings.ToLower(p.input.String()))
	for _, a := range p.all {
		h := a.key.Help()
		text := strings.ToLower(h.Key + " " + h.Desc + " " + a.group)
		if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			p.shown = append(p.shown, a)
		}
	}
}

func (p *palette) move(by int) {
	p.cursor = max(0, min(p.cursor+by, len(p.shown)-1))
}

// at is the action under the cursor, nil if there is none.
func (p *palette) at() *action {
	if p.cursor >= len(p.shown) {
		return nil
	}
	return &p.shown[p.cursor]
}

const paletteHead = 2 // lines above the actions

func (p *palette) Render(w, h int) []string {
	lines := []string{"", fit(bold.Render("action ")+p.input.Render(w-7, true), w)}
	p.height = max(1, h-paletteHead)
	p.top = max(0, min(p.top, len(p.shown)-p.height))
	p.top = max(min(p.top, p.cursor), p.cursor-p.height+1)
	const keyWidth, groupWidth = 12, 20
	desc := min(40, w-keyWidth-groupWidth-2)
	for k := p.top; k < min(len(p.shown), p.top+p.height); k++ {
		a := p.shown[k]
		keys, what, group := fit("  "+a.key.Help().Key, keyWidth), fit(a.key.Help().Desc, desc), fit(a.group, groupWidth)
		if k == p.cursor {
			lines = append(lines, selected.Render(fit(keys+" "+what+" "+group, w)))
			continue
		}
		lines = append(lines, fit(bold.Render(keys)+" "+what+" "+dim.Render(group), w))
	}
	if len(p.shown) == 0 {
		lines = append(lines, "  "+dim.Render("no action is called that"))
	}
	return lines
}

// paletteKey handles a key press while the palette is open.
func (m *model) paletteKey(k tea.KeyPressMsg) tea.Cmd {
	p := m.palette
	switch k.String() {
	case "esc":
		m.palette = nil
	case "enter":
		if a := p.at(); a != nil {
			return m.act(*a)
		}
	case "up":
		p.move(-1)
	case "down":
		p.move(1)
	case "pgup":
		p.move(-p.height)
	case "pgdown":
		p.move(p.height)
	default:
		if p.input.key(k) {
			p.refresh()
		}
	}
	return nil
}

// act does what a key does, on a screen where it does it. What writes is only
// shown: its own key starts it.
func (m *model) act(a action) tea.Cmd {
	m.palette = nil
	var cmds []tea.Cmd
	if len(a.on) > 0 && !slices.Contains(a.on, m.screen) {
		cmds = append(cmds, m.show(a.on[0]))
	}
	if a.key.Help() == m.keys.Yes.Help() {
		m.say(false, "%s", fmt.Sprintf("%s starts it; the copy is written to %s", a.key.Help().Key, m.repair.out))
		return tea.Batch(cmds...)
	}
	return tea.Batch(append(cmds, m.key(keyPress(a.key.Keys()[0])))...)
}

// codes are the keys that are no characters.
var codes = map[string]rune{
	"enter": tea.KeyEnter, "esc": tea.KeyEscape, "tab": tea.KeyTab, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight,
	"pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd,
}

// keyPress is the press of a key by its name.
func keyPress(name string) tea.KeyPressMsg {
	var k tea.KeyPressMsg
	for {
		if rest, ok := strings.CutPrefix(name, "ctrl+"); ok {
			k.Mod, name = k.Mod|tea.ModCtrl, rest
		} else if rest, ok := strings.CutPrefix(name, "shift+"); ok {
			k.Mod, name = k.Mod|tea.ModShift, rest
		} else {
			break
		}
	}
	if code, ok := codes[name]; ok {
		k.Code = code
		return k
	}
	k.Code = []rune(name)[0]
	if k.Mod == 0 {
		k.Text = name
	}
	return k
}
