package backend

import "strings"

// defaultUrgency is that of a batch without a Priority, and of one that cannot
// be read (RFC 9218, section 4.1). Only what is more urgent is live.
const defaultUrgency = 3

// maxPriority bounds what is read of the header, in bytes.
const maxPriority = 64

// urgency reads u of a Priority header, 0 (most urgent) to 7. It takes members
// of the form NAME, NAME=INTEGER and NAME=?B, the last u counting; anything
// else of RFC 8941 is nothing that a kiosk sends, and makes the whole header
// one that cannot be read.
func urgency(lines []string) int {
	text := strings.Join(lines, ",")
	if len(text) > maxPriority {
		return defaultUrgency
	}
	u := defaultUrgency
	for member := range strings.SplitSeq(text, ",") {
		name, value, has := strings.Cut(strings.Trim(member, " \t"), "=")
		if !isKey(name) || has && !isSimple(value) {
			return defaultUrgency
		}
		if name != "u" {
			continue
		}
		if len(value) != 1 || value[0] < '0' || value[0] > '7' {
			return defaultUrgency
		}
		u = int(value[0] - '0')
	}
	return u
}

// isKey reports whether name is a key of a structured field.
func isKey(name string) bool {
	if name == "" || !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz*", rune(name[0])) {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_-.*") == ""
}

// isSimple reports whether value is a boolean, or a small integer.
func isSimple(value string) bool {
	if value == "?0" || value == "?1" {
		return true
	}
	digits := strings.TrimPrefix(value, "-")
	return digits != "" && len(digits) <= 15 && strings.Trim(digits, "0123456789") == ""
}
