package catalogue

// aside is what a bystander may read when something about the visitor himself
// stands against him: one text for all such reasons, so that it tells none of
// them. The colour of the screen already says stop.
var aside = Words{
	"暂时不能通行。请到一旁，听从工作人员安排。",
	"You cannot enter now. Please step aside and follow the staff.",
}

// onYourPhone is for what the visitor can see and mend on his own phone.
var onYourPhone = Words{
	"还缺一项入场条件。请在自己手机的随申办上查看并办理后再来，或询问工作人员。",
	"An entry condition is missing. Your own phone shows which one; come back afterwards, or ask the staff.",
}

// The headlines that several entries share.
var (
	stop  = Words{"禁止通行", "Stop"}
	staff = Words{"人工核验", "See staff"}
	enter = Words{"请通行", "Please enter"}
	other = Words{"请换个码", "Wrong code"}
)

// reasons are the reasons of a verdict, in the order of checkin.Reasons. The
// first line of each pair is what is seen, the second what is heard.
var reasons = []Entry{
	{"ok", Reason, enter,
		Words{"核验通过，请通行。", "Checked. Please walk through."},
		"核验通过，请通行", "Checked, please enter"},
	{"exempt", Reason, enter,
		Words{"您可以直接通行，请进。", "You may enter directly. Please walk through."},
		"您可以直接通行，请进", "Please enter"},
	{"assisted", Reason, Words{"人工放行", "Please enter"},
		Words{"工作人员已核验，请通行。", "The staff have checked you in. Please walk through."},
		"工作人员已核验，请通行", "Checked by the staff, please enter"},

	{"code-yellow", Reason, stop, aside,
		"暂时不能通行，请到一旁，听从工作人员安排", "Please step aside and follow the staff"},
	{"code-red", Reason, stop, aside,
		"不能通行，请到一旁，听从工作人员安排", "Please step aside and follow the staff"},
	{"code-expired", Reason, Words{"请刷新码", "Refresh code"},
		Words{"这个码已经过期。请在手机上刷新，再出示一次。", "This code is out of date. Refresh it on your phone and show it again."},
		"码已过期，请刷新后再出示", "The code is out of date, please refresh it"},
	{"nat-missing", Reason, stop, onYourPhone,
		"入场条件还缺一项，请查看自己的手机", "An entry condition is missing, please look at your phone"},
	{"nat-expired", Reason, stop, onYourPhone,
		"入场条件有一项过期，请查看自己的手机", "An entry condition has lapsed, please look at your phone"},
	{"nat-positive", Reason, stop, aside,
		"请到一旁稍候，工作人员会来协助您", "Please step aside, the staff will help you"},
	{"antigen-positive", Reason, stop, aside,
		"请到一旁等候，工作人员会来协助您", "Please step aside, the staff will help you"},
	{"fever", Reason, stop, aside,
		"请到一旁休息片刻，等候工作人员", "Please rest at the side and wait for the staff"},
	{"temperature-unmeasured", Reason, staff,
		Words{"没有测到体温。请正对测温窗再试一次，或请工作人员协助。", "No reading was taken. Face the sensor and try again, or ask the staff."},
		"没有测到体温，请再试一次或联系工作人员", "No reading was taken, please try again or ask the staff"},

	{"no-status", Reason, staff,
		Words{"没有查到信息。请工作人员协助核验。", "Nothing was found. Please ask the staff to check you in."},
		"没有查到信息，请联系工作人员", "Nothing was found, please ask the staff"},
	{"status-stale", Reason, staff,
		Words{"本机的数据不够新，与您无关。请工作人员协助核验。", "This machine's data is too old; it is not about you. Please ask the staff."},
		"本机数据需要更新，请联系工作人员", "This machine's data is too old, please ask the staff"},
	{"platform-unreachable", Reason, staff,
		Words{"平台暂时没有回应，与您无关。请工作人员协助核验。", "The platform does not answer; it is not about you. Please ask the staff."},
		"平台暂时没有回应，请联系工作人员", "The platform does not answer, please ask the staff"},
	{"clock-unknown", Reason, staff,
		Words{"本机时钟尚未校准，与您无关。请工作人员协助核验。", "This machine's clock is not set; it is not about you. Please ask the staff."},
		"本机时钟尚未校准，请联系工作人员", "This machine's clock is not set, please ask the staff"},
	{"not-covered", Reason, staff,
		Words{"本机不能自动核验您的情况。请工作人员协助核验。", "This machine cannot decide by itself. Please ask the staff to check you in."},
		"本机不能自动核验，请联系工作人员", "This machine cannot decide, please ask the staff"},

	{"credential-expired", Reason, stop,
		Words{"证件已过有效期。请出示有效证件或随申码，或请工作人员协助。", "This document is out of date. Show a valid one or your code, or ask the staff."},
		"证件已过有效期，请出示有效证件", "The document is out of date, please show a valid one"},
	{"credential-revoked", Reason, stop,
		Words{"此码或证件已停用。请出示新的，或请工作人员协助。", "This code or document was withdrawn. Show the new one, or ask the staff."},
		"此码或证件已停用，请出示新的", "This code or document was withdrawn, please show the new one"},
	{"credential-invalid", Reason, stop,
		Words{"此码或证件未能通过校验。请再出示一次，或请工作人员协助。", "This code or document did not check out. Show it again, or ask the staff."},
		"此码或证件未通过校验，请联系工作人员", "This code or document did not check out, please ask the staff"},
	{"credential-replayed", Reason, stop,
		Words{"此码刚刚用过，请不要使用截图。请刷新后再出示。", "This code was used before. Please no screenshots; refresh it and show it again."},
		"此码已经用过，请刷新后再出示", "This code was used before, please refresh it"},
	{"unknown-credential", Reason, other,
		Words{"认不出这个码或证件。请出示本人的随申码或身份证。", "This is no code or document we know. Show your own health code or ID card."},
		"认不出这个码，请出示随申码或身份证", "Unknown code, please show your health code or ID card"},
	{"venue-code", Reason, other,
		Words{"这是场所码，不用在这里扫。请出示本人的随申码或身份证。", "This is the venue's code. Show your own health code or ID card instead."},
		"这是场所码，请出示本人的随申码", "This is the venue's code, please show your own"},
	{"paper-code", Reason, staff,
		Words{"纸质离线码要与证件一起由工作人员核验。请联系工作人员。", "A paper code is checked by the staff together with your ID. Please see the staff."},
		"纸质码请交给工作人员核验", "Paper codes are checked by the staff"},

	{"needs-host", Reason, staff,
		Words{"需要接待人确认。请联系接待人，或到服务台登记。", "Your host has to confirm. Please call your host or go to the desk."},
		"需要接待人确认，请联系接待人或服务台", "Your host has to confirm, please call your host or go to the desk"},
	{"host-refused", Reason, stop,
		Words{"接待人没有确认这次来访。请与接待人联系。", "Your host did not confirm this visit. Please call your host."},
		"接待人没有确认来访，请与接待人联系", "The host did not confirm the visit, please call your host"},
	{"not-registered", Reason, staff,
		Words{"请先登记。在手机的随申办上登记，或请工作人员代办。", "Please register first: on your phone, or with the staff."},
		"请先登记，在手机上或找工作人员", "Please register first, on your phone or with the staff"},
	{"denied-by-list", Reason, stop, aside,
		"请到一旁，工作人员马上过来", "Please step aside, the staff are coming"},

	{"queue-full", Reason, staff,
		Words{"本机暂时不能记录通行，与您无关。请工作人员协助。", "This machine cannot record visits now; it is not about you. Please ask the staff."},
		"本机暂时不能记录，请联系工作人员", "This machine cannot record visits, please ask the staff"},
	{"out-of-service", Reason, Words{"暂停服务", "Out of service"},
		Words{"本通道暂停服务。请走其他通道，或请工作人员协助。", "This lane is out of service. Please use another lane, or ask the staff."},
		"本通道暂停服务，请走其他通道", "This lane is out of service, please use another"},
	{"staff-refused", Reason, stop, aside,
		"请到一旁，请听从工作人员的安排", "Please step aside and follow the staff"},
}
