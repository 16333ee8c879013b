package policy

// vocabulary tells the words of a file, by their key, in Chinese and English.
var vocabulary = map[string]map[string]both{
	"outcome": {
		"granted": {"放行", "granted"}, "refused": {"不放行", "refused"}, "manual": {"人工", "manual"},
	},
	"venues": {
		"housing": {"居住小区", "housing"}, "lodging": {"住宿场所", "lodging"}, "transport": {"交通场站", "transport"},
		"medical": {"医疗机构", "medical"}, "catering": {"餐饮", "catering"}, "culture": {"文旅体育", "culture"},
		"finance": {"金融网点", "finance"}, "commerce": {"商业", "commerce"}, "education": {"教育", "education"},
		"care": {"养老救助", "care"}, "construction": {"建筑工地", "construction"}, "religion": {"宗教场所", "religion"},
		"logistics": {"物流", "logistics"}, "office": {"厂企办公", "office"}, "government": {"政务场所", "government"},
		"utilities": {"公用事业", "utilities"}, "other": {"其他场所", "other places"},
	},
	"credentials": {
		"personal-code": {"随申码", "personal code"}, "relative-code": {"亲属随申码", "relative's code"},
		"resident-id": {"身份证", "ID card"}, "hkmotw-permit": {"港澳台居民居住证", "HK/Macao/Taiwan permit"},
		"foreigner-card": {"外国人永久居留身份证", "foreigner's residence card"}, "signed-code": {"签名码", "signed code"},
		"visitor-pass": {"访客证", "visitor pass"}, "paper-code": {"纸质离线码", "paper code"},
		"passport": {"护照", "passport"}, "other-paper": {"其他证件", "other paper"},
		"venue-code": {"场所码", "the venue's own code"}, "unknown": {"无法识别的内容", "an unknown text"},
	},
	"issuers": {
		"jiangsu": {"江苏码", "of Jiangsu"}, "zhejiang": {"浙江码", "of Zhejiang"}, "anhui": {"安徽码", "of Anhui"},
	},
	"modes": {
		"online": {"在线状态", "online status"}, "cached": {"缓存状态", "cached status"},
		"signed": {"签名状态", "signed status"}, "none": {"来源不明", "status of no source"},
	},
	"status": {
		"known": {"已知状态", "a known status"}, "none": {"状态未知", "no status"},
	},
	"clock": {
		"unknown": {"时间不可信", "clock not believable"},
	},
	"colours": {
		"green": {"绿码", "green code"}, "yellow": {"黄码", "yellow code"}, "red": {"红码", "red code"}, "none": {"无颜色", "no colour"},
	},
	"nat": {
		"negative": {"核酸阴性", "test negative"}, "positive": {"核酸阳性", "test positive"},
		"pending": {"核酸结果未出", "test pending"}, "none": {"无核酸", "no test"},
	},
	"antigen": {
		"negative": {"抗原阴性", "antigen negative"}, "positive": {"抗原阳性", "antigen positive"},
		"pending": {"抗原结果未出", "antigen pending"}, "none": {"无抗原", "no antigen test"},
	},
	"hosts": {
		"yes": {"接待人同意", "host says yes"}, "no": {"接待人不同意", "host says no"},
		"silent": {"接待人未答复", "host does not answer"}, "none": {"未询问接待人", "no host asked"},
	},
	"register-first": {"yes": {"须先登记", "must register first"}},
	"control-list":   {"yes": {"在管控名单上", "on the control list"}},
	"code-expired":   {"yes": {"码已过期", "code out of date"}},
	"temperature": {
		"normal": {"体温正常", "temperature normal"}, "fever": {"发热", "fever"}, "unmeasured": {"未测得体温", "temperature not measured"},
	},
	"ages": {
		"minor": {"未满18岁", "under 18"}, "adult": {"18至59岁", "18 to 59"}, "elder": {"60岁及以上", "60 and over"},
	},
	"mask": {
		"passed": {"已戴口罩", "mask worn"}, "failed": {"未戴口罩", "no mask"}, "unchecked": {"口罩未检", "mask not checked"},
	},
	"face": {
		"passed": {"人证一致", "face matches"}, "failed": {"人证不符", "face does not match"}, "unchecked": {"人脸未比对", "face not compared"},
	},
	"answers": {
		"passed": {"问询均合格", "questions answered well"}, "failed": {"问询不合格", "a question not answered well"},
		"unchecked": {"未问询", "questions not asked"},
	},
	"staff": {
		"identity": {"工作人员已核对身份", "a guard has checked who it is"}, "none": {"无人工核对", "no guard has checked who it is"},
		"refuses": {"工作人员不放行", "a guard refuses"},
	},
}
