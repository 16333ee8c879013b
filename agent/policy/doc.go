// Package policy reads a policy file and gives the checkin.Policy it stands
// for. Pure: bytes in, a value out.
//
// # The file
//
// YAML or JSON (which is YAML) with these keys and no others (shipped files:
// configs/policies):
//
//	id: public-place            small letters, digits, '-'
//	version: 1                  1 or more; a change is a new version
//	title: {zh: …, en: …}
//	temperature: required       required, advisory or off
//	fever: 37.3C                at or above is fever; 35C to 42C; default 37.3C
//	guard: present              present, remote or none
//	phone: 021-12345678         whom a visitor can call; may be left out
//	issuers: [jiangsu]          whose codes count as our own; left out: nobody's
//	overrides: [emergency]      for what a guard may open whatever is known; at
//	                            most 16; left out: emergency
//	questions:                  at most 20, which a guard asks
//	- {id: cough, zh: …, en: …, good: no}    good: the answer that is as it should be
//	rules:                      the first that fits decides; none is manual
//	- id: granted               once in the file
//	  from: 2026-06-01          RFC 3339, or a day, which begins at 00:00 in
//	  until: 2026-07-01         China; exclusive; of the years 1900 to 2199
//	  venues: [medical, care]   of the 17 classes; left out: all of them
//	  when:                     all that is written must hold; of a list, one
//	    credentials: [personal-code]    personal-code, relative-code, resident-id,
//	                            hkmotw-permit, foreigner-card, signed-code,
//	                            visitor-pass; and, on a guard's word only,
//	                            paper-code, passport, other-paper
//	    modes: [online]         how the status came: online, cached, signed, none
//	    colours: [green]        green, yellow, red, none
//	    nat: [negative]         negative, positive, pending, none
//	    nat-within: 48h         at most so old, in whole minutes
//	    nat-older: 48h          older than that
//	    nat-clock: sampled      sampled or reported: from when the age counts
//	    antigen: [positive]
//	    hosts: [yes]            yes, no, silent, none
//	    register-first: yes     only yes; left out, it does not matter
//	    control-list: yes
//	    code-expired: yes
//	    temperature: [normal]   normal, fever, unmeasured
//	    ages: [minor, elder]    under 18, adult, 60 and over; known of cards only
//	    mask: [passed]          passed, failed, unchecked; no sensor today
//	    face: [passed]          likewise
//	    answers: [passed]       to the questions: all of them good, or not
//	    staff: [identity]       identity: a guard has compared the person with a
//	                            document; none: nobody has
//	  max-age: 4h               of the status; older ones do not fit
//	  unchecked: yes            grants with no health check at all, knowingly
//	  report: yes               who is refused by this rule is reported
//	  outcome: granted          granted, refused or manual
//	  reason: ok
//	examples:                   cases that must come out as they say
//	- {name: …, credential: personal-code, issuer: jiangsu, age-group: elder,
//	   mode: online, colour: green, nat: negative, sampled-age: 12h,
//	   reported-age: 10h, antigen: negative, host: yes, register-first: no,
//	   control-list: no, code-expired: no, temperature: normal, mask: passed,
//	   face: passed, answers: passed, staff: identity, age: 5m,
//	   at: 2026-06-02, clock: ok, venue: medical, why: platform-unreachable,
//	   expect: granted, reason: ok, rule: granted, report: no}
//
// In an example everything may be left out but name and expect: the code is a
// personal one, the status online and new, the temperature normal (unmeasured
// where it is off), what the platform could say is none, and nothing else was
// looked at. Mode none means that nothing is known.
//
// # What may grant
//
// A rule that grants has max-age and a proof: a green code, the host's yes, or
// a visitor pass. Two kinds of rule stand apart.
//
// With staff: [identity] a guard's word is the proof, and no status need be
// known, so that max-age may be left out. Its reason is assisted, exempt or ok.
// The rules before it must have refused what is known to be bad.
//
// With unchecked: yes no proof is asked: this is what "codes are no longer
// checked" means. Such a rule must not ask for a colour or a test, for then it
// would check; it keeps max-age, because a status must still be known, if only
// to see that the person is not on the control list.
//
// Red is never let in by a machine, whatever a rule says (checkin.Decide).
//
// # What is refused
//
// Anything that is not written as above. A rule that grants without max-age,
// on red or yellow or on no proof at all, on a test that may be positive, on a
// check that has failed, or on somebody whom the platform wants stopped. A rule
// that nothing can meet, because its conditions contradict each other; or that
// can never decide, because earlier ones take all its cases. A time at which no
// rule grants any more. An example that comes out otherwise. All errors are
// told at once, each with its line.
//
// A rule that asks for a mask or a face stands, for later devices, with a
// warning that nothing looks at either today.
package policy
