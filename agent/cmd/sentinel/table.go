package main

import (
	"strings"
	"unicode"
)

// table sets rows in columns of at most the given widths, two spaces between
// them; what is too long goes on in the next line of its own column. A Chinese
// letter is two columns wide.
func table(rows [][]string, most []int) string {
	cells, widths := make([][][]string, len(rows)), make([]int, len(most))
	for i, row := range rows {
		for j, text := range row {
			lines := wrap(text, most[j])
			cells[i] = append(cells[i], lines)
			for _, line := range lines {
				widths[j] = max(widths[j], width(line))
			}
		}
	}
	var b strings.Builder
	for _, row := range cells {
		height := 0
		for _, lines := range row {
			height = max(height, len(lines))
		}
		for n := range height {
			var line strings.Builder
			for j, lines := range row {
				text := ""
				if n < len(lines) {
					text = lines[n]
				}
				line.WriteString(text + strings.Repeat(" ", widths[j]-width(text)+2))
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	return b.String()
}

// wrap breaks a text into lines of at most most columns: at spaces, and between
// any two Chinese letters, but not before a comma or a stop.
func wrap(text string, most int) []string {
	var lines []string
	line := ""
	for _, piece := range pieces(text) {
		if line != "" && width(line)+width(strings.TrimRight(piece, " ")) > most {
			lines = append(lines, strings.TrimRight(line, " "))
			line = ""
		}
		line += piece
	}
	return append(lines, strings.TrimRight(line, " "))
}

// pieces cuts a text where a line may end.
func pieces(text string) []string {
	var all []string
	piece := ""
	last := ' '
	for _, r := range text {
		open := last == ' ' || (wide(r) || wide(last)) && !unicode.IsPunct(r)
		if piece != "" && open && r != ' ' {
			all = append(all, piece)
			piece = ""
		}
		piece += string(r)
		last = r
	}
	return append(all, piece)
}

func width(s string) int {
	n := 0
	for _, r := range s {
		n++
		if wide(r) {
			n++
		}
	}
	return n
}

// wide reports whether a terminal gives r two columns.
func wide(r rune) bool {
	return unicode.Is(unicode.Han, r) || '\u3000' <= r && r <= '\u303F' || '\uFF00' <= r && r <= '\uFF60'
}
