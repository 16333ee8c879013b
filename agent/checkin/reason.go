package checkin

// Reason says why a verdict is what it is. Its texts in zh and en are in
// agent/catalogue under the same id.
type Reason string

// The reasons (design, section 4). A test in catalogue holds the two lists
// together.
const (
	OK                    Reason = "ok"
	Exempt                Reason = "exempt"
	Assisted              Reason = "assisted"
	CodeYellow            Reason = "code-yellow"
	CodeRed               Reason = "code-red"
	CodeExpired           Reason = "code-expired"
	NATMissing            Reason = "nat-missing"
	NATExpired            Reason = "nat-expired"
	NATPositive           Reason = "nat-positive"
	AntigenPositive       Reason = "antigen-positive"
	HasFever              Reason = "fever"
	TemperatureUnmeasured Reason = "temperature-unmeasured"
	NoStatus              Reason = "no-status"
	StatusStale           Reason = "status-stale"
	PlatformUnreachable   Reason = "platform-unreachable"
	ClockUnknown          Reason = "clock-unknown"
	NotCovered            Reason = "not-covered"
	CredentialExpired     Reason = "credential-expired"
	CredentialRevoked     Reason = "credential-revoked"
	CredentialInvalid     Reason = "credential-invalid"
	CredentialReplayed    Reason = "credential-replayed"
	UnknownCredential     Reason = "unknown-credential"
	IsVenueCode           Reason = "venue-code"
	IsPaperCode           Reason = "paper-code"
	NeedsHost             Reason = "needs-host"
	HostRefused           Reason = "host-refused"
	NotRegistered         Reason = "not-registered"
	DeniedByList          Reason = "denied-by-list"
	QueueFull             Reason = "queue-full"
	OutOfService          Reason = "out-of-service"
	StaffRefused          Reason = "staff-refused"
)

// Reasons lists every reason once.
func Reasons() []Reason {
	return []Reason{
		OK, Exempt, Assisted, CodeYellow, CodeRed, CodeExpired, NATMissing, NATExpired,
		NATPositive, AntigenPositive, HasFever, TemperatureUnmeasured, NoStatus,
		StatusStale, PlatformUnreachable, ClockUnknown, NotCovered, CredentialExpired,
		CredentialRevoked, CredentialInvalid, CredentialReplayed, UnknownCredential,
		IsVenueCode, IsPaperCode, NeedsHost, HostRefused, NotRegistered, DeniedByList,
		QueueFull, OutOfService, StaffRefused,
	}
}
