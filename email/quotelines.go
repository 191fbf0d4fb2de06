package email

import (
	"regexp"
	"strings"
)

// maxAttribution is over how many lines an attribution may be wrapped.
const maxAttribution = 4

// attributions are the lines that mail programs write above a quote, by
// language. They are field knowledge. Those that begin with a word are sure of
// where they begin; the others may have text of the answer above them.
var attributions = []*regexp.Regexp{
	// en
	regexp.MustCompile(`(?i)^on\b.{6,300}\b(wrote|writes|said)\s*[:：]$`),
	regexp.MustCompile(`(?i)^.{3,200}<[^<>]+@[^<>]+>\s*(wrote|writes)\s*(on .{5,100})?[:：]$`),
	// vi: "Vào Th 2, 4 thg 11, 2024 vào lúc 10:30 An <an@x> đã viết:", "Ngày ... đã viết:"
	regexp.MustCompile(`(?i)^(vào|ngày|lúc|on).{4,300}(đã viết|viết|đã gửi)\s*[:：]$`),
	// pt: "Em seg., 4 de nov. de 2024 às 10:30, Ana <ana@x> escreveu:"
	regexp.MustCompile(`(?i)^(em|no dia|a)\b.{6,300}\bescreveu\s*[:：]$`),
	// es: "El lun, 4 nov 2024 a las 10:30, Ana (<ana@x>) escribió:"
	regexp.MustCompile(`(?i)^(el|en)\b.{6,300}\bescribi[óo]\s*[:：]$`),
	// fr: "Le lun. 4 nov. 2024 à 10:30, Ana <ana@x> a écrit :"
	regexp.MustCompile(`(?i)^le\b.{6,300}\ba\s+[ée]crit\s*[:：]$`),
	// de: "Am Mo., 4. Nov. 2024 um 10:30 Uhr schrieb Ana <ana@x>:"
	regexp.MustCompile(`(?i)^am\b.{6,300}\bschrieb\b.{0,200}[:：]$`),
	regexp.MustCompile(`(?i)^.{3,200}\b(schrieb|hat)\b am .{5,100}(geschrieben)?\s*[:：]$`),
	// it: "Il giorno lun 4 nov 2024 alle ore 10:30 Ana <ana@x> ha scritto:"
	regexp.MustCompile(`(?i)^il\b.{6,300}\bha scritto\s*[:：]$`),
	// nl: "Op ma 4 nov 2024 om 10:30 schreef Ana <ana@x>:"
	regexp.MustCompile(`(?i)^op\b.{6,300}\b(schreef|heeft)\b.{0,200}[:：]$`),
	// sv, da, no: "Den mån 4 nov. 2024 kl 10:30 skrev Ana <ana@x>:"
	regexp.MustCompile(`(?i)^(den|på|man|tir|ons|tor|fre|lør|søn).{6,300}\b(skrev|skreiv)\b.{0,200}[:：]$`),
	// pl: "pon., 4 lis 2024 o 10:30 Ana <ana@x> napisał(a):", "W dniu ... pisze:"
	regexp.MustCompile(`(?i)^.{6,300}\b(napisał\(a\)|napisała?|pisze)\s*[:：]$`),
	// ru, uk: "пн, 4 нояб. 2024 г. в 10:30, Ana <ana@x>:", "... пишет:", "... написал(а):"
	regexp.MustCompile(`(?i)^.{6,300}(пишет|писал|написал|написала|написал\(а\)|пише)\s*[:：]$`),
	regexp.MustCompile(`(?i)^(пн|вт|ср|чт|пт|сб|вс|нд).{6,300}<[^<>]+@[^<>]+>\s*[:：]$`),
	// cs, sk: "po 4. 11. 2024 v 10:30 odesílatel Ana <ana@x> napsal:"
	regexp.MustCompile(`(?i)^.{6,300}\b(napsal|napsala|napsal\(a\)|napísal|napísala|napísal\(a\))\s*[:：]$`),
	// tr: "Ana <ana@x>, 4 Kas 2024 Pzt, 10:30 tarihinde şunu yazdı:"
	regexp.MustCompile(`(?i)^.{6,300}(tarihinde|şunu|şunları).{0,20}yazdı\s*[:：]$`),
	// id, ms: "Pada Sen, 4 Nov 2024 10:30 Ana <ana@x> menulis:"
	regexp.MustCompile(`(?i)^pada\b.{6,300}(menulis|tulis)\s*[:：]$`),
	// ja: "2024年11月4日(月) 10:30 Ana <ana@x>:", "...のメール:"
	regexp.MustCompile(`^\d{4}年\d{1,2}月\d{1,2}日.{2,300}[:：]$`),
	// zh: "Ana <ana@x> 于2024年11月4日周一 10:30写道：", "在 ...，... 写道："
	regexp.MustCompile(`^.{2,300}(写道|寫道|撰寫|编写)\s*[:：]$`),
	// ko: "2024년 11월 4일 (월) 오전 10:30, Ana <ana@x>님이 작성:"
	regexp.MustCompile(`^\d{4}년.{4,300}(작성|썼습니다|님이 쓴 글)\s*[:：]$`),
	// th: "เมื่อ ... เขียนว่า:"
	regexp.MustCompile(`^(ใน|เมื่อ).{4,300}เขียนว่า\s*[:：]$`),
	// ro, hu, fi
	regexp.MustCompile(`(?i)^(în|pe|la).{6,300}\ba scris\s*[:：]$`),
	regexp.MustCompile(`(?i)^.{6,300}\b(ezt írta|írta).{0,60}[:：]$`),
	regexp.MustCompile(`(?i)^.{6,300}\bkirjoitti\s*(.{0,60})?[:：]$`),
	// A date in ISO form before a name and an address: "2024-11-04 10:30 GMT+07:00 Ana <ana@x>:"
	regexp.MustCompile(`^\d{4}[-/]\d{1,2}[-/]\d{1,2}\b.{3,200}<[^<>]+@[^<>]+>\s*[:：]$`),
}

// attribution returns over how many lines an attribution runs that begins on the
// first one, or 0, and whether that was any work to find out.
func attribution(lines []textLine) (n int, tried bool) {
	if !colonSoon(lines) {
		return 0, false
	}
	var joined []string
	for n = 0; n < maxAttribution && n < len(lines); n++ {
		s := plainLine(lines[n].text)
		if s == "" || isQuoted(s) || len(s) > 400 {
			return 0, false
		}
		joined = append(joined, s)
		if !strings.HasSuffix(s, ":") && !strings.HasSuffix(s, "：") {
			continue
		}
		sure, ok := isAttribution(strings.Join(joined, " "))
		if !ok {
			return 0, true
		}
		// The answer's last line may stand right above the attribution.
		for k := 1; k <= n; k++ {
			subSure, subOK := isAttribution(strings.Join(joined[k:], " "))
			if subOK && (subSure || !sure && !strings.ContainsAny(joined[0], "0123456789@")) {
				return 0, true
			}
		}
		return n + 1, true
	}
	return 0, false
}

// colonSoon reports whether one of the next lines ends in a colon: most do not,
// and that is cheap to tell.
func colonSoon(lines []textLine) bool {
	for n := 0; n < maxAttribution && n < len(lines); n++ {
		s := lines[n].text
		for s != "" && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t' || s[len(s)-1] == '*') {
			s = s[:len(s)-1]
		}
		if s == "" {
			return false
		}
		if strings.HasSuffix(s, ":") || strings.HasSuffix(s, "：") {
			return true
		}
	}
	return false
}

// isAttribution reports whether a line says who wrote what is quoted, and
// whether it surely begins there.
func isAttribution(s string) (sure, ok bool) {
	if !strings.ContainsAny(s, "0123456789@") {
		return false, false // an attribution says when or who
	}
	for _, re := range attributions {
		if re.MatchString(s) {
			return !strings.HasPrefix(strings.TrimPrefix(re.String(), "(?i)"), "^."), true
		}
	}
	return false, false
}

// matchesAttribution is isAttribution for a line right above a quote, which need
// not say when or who.
func matchesAttribution(s string) bool {
	if len(s) > 400 {
		return false
	}
	for _, re := range attributions {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// original matches the lines above a quoted mail by Outlook and its kin.
var original = regexp.MustCompile(`(?i)^[-_=]{2,}\s*(original message|reply message|original appointment|mensagem original|mensaje original|message d'origine|message original|messaggio originale|ursprüngliche nachricht|originalnachricht|original-nachricht|oorspronkelijk bericht|ursprungligt meddelande|oprindelig meddelelse|opprinnelig melding|alkuperäinen viesti|pôvodná správa|původní zpráva|původní e-mail|oryginalna wiadomość|wiadomość oryginalna|исходное сообщение|оригинальное сообщение|orijinal mesaj|thư gốc|tin nhắn gốc|thư ban đầu|nội dung gốc|pesan asli|原始邮件|原始郵件|邮件原件|元のメッセージ|원본 메시지|원본 메일|mesaj original|eredeti üzenet)\s*[-_=]{2,}`)

func isOriginalLine(s string) bool {
	return len(s) < 200 && hasRule(s) && original.MatchString(strings.ReplaceAll(s, "’", "'"))
}

// forward matches the lines above a forwarded mail.
var forward = regexp.MustCompile(`(?i)^([-_=]{2,}\s*(forwarded message|forwarded by .{1,80}|mensagem encaminhada|mensaje reenviado|message transféré|messaggio inoltrato|weitergeleitete nachricht|doorgestuurd bericht|vidarebefordrat meddelande|videresendt meddelelse|videresendt melding|välitetty viesti|přeposlaná zpráva|preposlaná správa|wiadomość przekazana|пересылаемое сообщение|пересланное сообщение|iletilen mesaj|tin nhắn được chuyển tiếp|thư được chuyển tiếp|thư đã chuyển tiếp|thư chuyển tiếp|tin nhắn đã chuyển tiếp|pesan terusan|转发的邮件|轉寄的郵件|转发邮件|転送されたメッセージ|転送メッセージ|전달된 메일|전달된 메시지|mesaj redirecționat|továbbított üzenet)\s*[-_=]{2,}|begin forwarded message:|início da mensagem (re)?encaminhada:|inicio del mensaje reenviado:|début du message (réexpédié|transféré)\s?:|inizio messaggio inoltrato:|anfang der weitergeleiteten (nachricht|e-mail):|begin doorgestuurd bericht:|vidarebefordrat brev:|начало переадресованного сообщения:|bắt đầu thư (được )?chuyển tiếp:|転送されたメッセージ：)`)

func isForwardLine(s string) bool {
	return len(s) < 200 && (hasRule(s) || strings.HasSuffix(s, ":") || strings.HasSuffix(s, "：")) && forward.MatchString(s)
}

// hasRule reports whether a line begins with a rule, which is cheap to tell.
func hasRule(s string) bool {
	return len(s) > 2 && strings.IndexByte("-_=", s[0]) >= 0
}

// headerLabels are what mail programs call the fields of a quoted mail.
var headerLabels = map[string]string{
	"from": "from", "von": "from", "de": "from", "da": "from", "van": "from", "från": "from", "fra": "from", "lähettäjä": "from", "od": "from", "от": "from", "від": "from", "kimden": "from", "gönderen": "from", "từ": "from", "người gửi": "from", "dari": "from", "发件人": "from", "寄件者": "from", "寄件人": "from", "差出人": "from", "보낸 사람": "from", "보낸사람": "from", "จาก": "from", "feladó": "from", "de la": "from", "expéditeur": "from", "remetente": "from", "mittente": "from",
	"sent": "date", "date": "date", "gesendet": "date", "datum": "date", "enviado": "date", "enviado em": "date", "enviada em": "date", "enviada": "date", "enviado el": "date", "data": "date", "fecha": "date", "envoyé": "date", "inviato": "date", "verzonden": "date", "skickat": "date", "sendt": "date", "dato": "date", "lähetetty": "date", "päivämäärä": "date", "odesláno": "date", "odoslané": "date", "wysłano": "date", "отправлено": "date", "дата": "date", "надіслано": "date", "gönderildi": "date", "gönderme tarihi": "date", "tarih": "date", "đã gửi": "date", "ngày": "date", "ngày gửi": "date", "gửi": "date", "vào": "date", "thời gian": "date", "date de l'envoi": "date", "dikirim": "date", "tanggal": "date", "发送时间": "date", "日期": "date", "寄件日期": "date", "送信日時": "date", "日付": "date", "日時": "date", "보낸 날짜": "date", "날짜": "date", "วันที่": "date", "elküldve": "date", "dátum": "date", "trimis": "date",
	"to": "to", "an": "to", "para": "to", "a": "to", "à": "to", "aan": "to", "till": "to", "til": "to", "vastaanottaja": "to", "komu": "to", "pro": "to", "do": "to", "кому": "to", "kime": "to", "alıcı": "to", "tới": "to", "đến": "to", "người nhận": "to", "kepada": "to", "收件人": "to", "收件者": "to", "宛先": "to", "받는 사람": "to", "받는사람": "to", "ถึง": "to", "címzett": "to", "către": "to", "destinataire": "to", "destinatario": "to", "destinatário": "to",
	"subject": "subject", "betreff": "subject", "assunto": "subject", "asunto": "subject", "objet": "subject", "sujet": "subject", "oggetto": "subject", "onderwerp": "subject", "ämne": "subject", "emne": "subject", "aihe": "subject", "předmět": "subject", "predmet": "subject", "temat": "subject", "тема": "subject", "konu": "subject", "chủ đề": "subject", "tiêu đề": "subject", "subjek": "subject", "perihal": "subject", "主题": "subject", "主旨": "subject", "件名": "subject", "제목": "subject", "เรื่อง": "subject", "tárgy": "subject", "subiect": "subject",
	"cc": "cc", "kopie": "cc", "kopi": "cc", "抄送": "cc", "참조": "cc", "копия": "cc", "bcc": "cc", "副本": "cc", "đồng gửi": "cc",
	"reply-to": "other", "importance": "other", "attachments": "other",
}

// labelled splits a line "Label: value" with a label of headerLabels.
func labelled(s string) (field, value string, ok bool) {
	if head := s[:min(len(s), 80)]; strings.IndexByte(head, ':') < 0 && !strings.Contains(head, "：") {
		return "", "", false
	}
	// No label has a bracket, but links that stand behind their words do.
	if i := strings.IndexAny(s, ":("); i >= 0 && s[i] == '(' {
		return "", "", false
	}
	s = strings.TrimLeft(plainLine(s), "> ")
	i := strings.IndexAny(s, ":：")
	if i <= 0 || i > 40 {
		return "", "", false
	}
	field, ok = headerLabels[strings.ToLower(strings.TrimSpace(s[:i]))]
	if !ok {
		return "", "", false
	}
	return field, strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(s[i:], ":"), "：")), true
}

// headerBlock reports whether the lines begin with the fields of a quoted mail:
// its author, and two of date, recipient and subject within five lines.
func headerBlock(lines []textLine) bool {
	if len(lines) == 0 {
		return false
	}
	if field, v, ok := labelled(lines[0].text); !ok || field != "from" || v == "" {
		return false
	}
	seen := map[string]bool{}
	n := 0
	for _, l := range lines[1:] {
		if strings.TrimSpace(l.text) == "" {
			continue
		}
		if n++; n > 5 {
			break
		}
		if field, _, ok := labelled(l.text); ok && field != "from" && field != "other" && field != "cc" {
			seen[field] = true
		}
	}
	return len(seen) >= 2
}
