package email_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func textMail(text string) string {
	return plainHeader + "Content-Type: text/plain; charset=utf-8\r\n\r\n" + text
}

func TestTheAttributionOfAQuoteIsFoundInManyLanguages(t *testing.T) {
	t.Parallel()
	for _, a := range []string{
		"On Mon, Nov 4, 2024 at 10:30 AM Support <support@help.example> wrote:",
		"On 4 Nov 2024, at 10:30, Support <support@help.example> wrote:",
		"On 04.11.2024 10:30, Support wrote:",
		"Support <support@help.example> wrote on Mon, 4 Nov 2024:",
		"Support <support@help.example> writes:",
		"Vào Th 2, 4 thg 11, 2024 vào lúc 10:30 Hỗ trợ <support@help.example> đã viết:",
		"Vào 10:30, Th 2, 4 thg 11, 2024 Hỗ trợ <support@help.example> đã viết:",
		"Ngày 4/11/2024 10:30, Hỗ trợ đã viết:",
		"Lúc 10:30 ngày 04/11/2024, Hỗ trợ viết:",
		"Em seg., 4 de nov. de 2024 às 10:30, Suporte <support@help.example> escreveu:",
		"Em 4 de novembro de 2024 10:30, Suporte escreveu:",
		"El lun, 4 nov 2024 a las 10:30, Soporte (<support@help.example>) escribió:",
		"Le lun. 4 nov. 2024 à 10:30, Support <support@help.example> a écrit :",
		"Le 04/11/2024 à 10:30, Support a écrit\u00a0:",
		"Am Mo., 4. Nov. 2024 um 10:30 Uhr schrieb Support <support@help.example>:",
		"Am 04.11.24 um 10:30 schrieb Support:",
		"Support <support@help.example> schrieb am Mo., 4. Nov. 2024, 10:30:",
		"Il giorno lun 4 nov 2024 alle ore 10:30 Support <support@help.example> ha scritto:",
		"Il 04/11/2024 10:30, Support ha scritto:",
		"Op ma 4 nov 2024 om 10:30 schreef Support <support@help.example>:",
		"Den mån 4 nov. 2024 kl 10:30 skrev Support <support@help.example>:",
		"man. 4. nov. 2024 kl. 10.30 skrev Support <support@help.example>:",
		"pon., 4 lis 2024 o 10:30 Support <support@help.example> napisał(a):",
		"пн, 4 нояб. 2024 г. в 10:30, Support <support@help.example>:",
		"4 ноября 2024, 10:30 от Support <support@help.example> пишет:",
		"po 4. 11. 2024 v 10:30 odesílatel Support <support@help.example> napsal:",
		"Support <support@help.example>, 4 Kas 2024 Pzt, 10:30 tarihinde şunu yazdı:",
		"Pada Sen, 4 Nov 2024 10.30 Support <support@help.example> menulis:",
		"2024年11月4日(月) 10:30 Support <support@help.example>:",
		"Support <support@help.example> 于2024年11月4日周一 10:30写道：",
		"2024년 11월 4일 (월) 오전 10:30, Support <support@help.example>님이 작성:",
		"ใน วันที่ จ. 4 พ.ย. 2024 10:30 Support <support@help.example> เขียนว่า:",
	} {
		m := read(t, textMail("Thanks.\n\n"+a+"\n\n> Hello\n> there\n"))
		require.Equal(t, "Thanks.", m.NewText, a)
		require.Contains(t, m.Text, a)
		// Right below the answer, and with nothing that marks the quoted lines.
		m = read(t, textMail("Thanks.\n"+a+"\nHello there\n"))
		require.Equal(t, "Thanks.", m.NewText, a)
		// Wrapped, as mail programs do.
		if i := strings.LastIndex(a[:len(a)*2/3], " "); i > 0 && a[0] != '2' {
			m = read(t, textMail("Thanks.\n\n"+a[:i]+"\n"+a[i+1:]+"\n> Hello\n"))
			require.Equal(t, "Thanks.", m.NewText, a)
		}
	}
}

func TestTheHeaderOfAQuotedMailIsFoundInManyLanguages(t *testing.T) {
	t.Parallel()
	for _, h := range []string{
		"From: Support <s@help.example>\nSent: Monday\nTo: Ann\nSubject: Order",
		"*From:* Support <s@help.example>\n*Sent:* Monday\n*To:* Ann\n*Subject:* Order",
		"Từ: Hỗ trợ <s@help.example>\nĐã gửi: Thứ Hai\nĐến: Ann\nChủ đề: Đơn hàng",
		"De: Suporte <s@help.example>\nEnviado: segunda-feira\nPara: Ann\nAssunto: Pedido",
		"De: Soporte <s@help.example>\nEnviado el: lunes\nPara: Ann\nAsunto: Pedido",
		"De : Support\nEnvoyé : lundi\nÀ : Ann\nObjet : Commande",
		"Von: Support\nGesendet: Montag\nAn: Ann\nBetreff: Bestellung",
		"Da: Support\nInviato: lunedì\nA: Ann\nOggetto: Ordine",
		"Van: Support\nVerzonden: maandag\nAan: Ann\nOnderwerp: Order",
		"От: Support\nОтправлено: понедельник\nКому: Ann\nТема: Заказ",
		"差出人: Support\n送信日時: 2024年11月4日\n宛先: Ann\n件名: 注文",
		"发件人: Support\n发送时间: 2024年11月4日\n收件人: Ann\n主题: 订单",
	} {
		require.Equal(t, "Thanks.", read(t, textMail("Thanks.\n\n________________________________\n"+h+"\n\nHello\n")).NewText, h)
		require.Equal(t, "Thanks.", read(t, textMail("Thanks.\n\n"+h+"\n\nHello\n")).NewText, h)
	}
	for _, l := range []string{"-----Original Message-----", "-----Mensagem original-----", "-----Thư gốc-----", "-----Ursprüngliche Nachricht-----", "----- Messaggio originale -----", "-----Message d’origine-----"} {
		require.Equal(t, "Thanks.", read(t, textMail("Thanks.\n\n"+l+"\nHello\n")).NewText, l)
	}
}

func TestNothingIsCutWhereNothingCanBeToldApart(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"no quote":               "Hello\n\nthere: one\ntwo",
		"answers between":        "> Which size?\nLarge.\n\n> Which colour?\nBlue.",
		"answer below":           "On Mon, 4 Nov 2024, Support wrote:\n> Which size?\n\nLarge.",
		"only a quote":           "On Mon, 4 Nov 2024, Support wrote:\n> Which size?",
		"only quoted lines":      "> a\n> b",
		"a person writes":        "On my account I see a strange thing.\nYour robot wrote:\nerror",
		"one label":              "From: the shop\nI bought a lamp.",
		"forwarded":              "Please see.\n\n---------- Forwarded message ---------\nFrom: Bob <b@x.example>\nDate: Mon\nSubject: Q\nTo: a@x.example\n\nHow much?",
		"a greater-than sign":    "The price > 5\n\nis wrong",
		"one quoted line inside": "You said\n\n> no refund\n\nand I disagree.",
	} {
		m := read(t, textMail(text+"\n"))
		require.Equal(t, text, m.Text, name)
		require.Equal(t, m.Text, m.NewText, name)
	}
}

func TestSignaturesAreToldApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, unsigned, signature string }{
		"delimiter":          {"Hello\n\n-- \nAnn\n+84", "Hello", "Ann\n+84"},
		"without its blank":  {"Hello\n\n--\nAnn", "Hello", "Ann"},
		"the last one":       {"a\n-- \nb\n-- \nAnn", "a\n-- \nb", "Ann"},
		"nothing above":      {"-- \nAnn", "-- \nAnn", ""},
		"none":               {"Hello\n---\nAnn", "Hello\n---\nAnn", ""},
		"far up is a rule":   {"a\n--\n" + strings.Repeat("b\n", 30) + "c", "a\n--\n" + strings.Repeat("b\n", 30) + "c", ""},
		"iPhone":             {"Yes\n\nSent from my iPhone", "Yes", "Sent from my iPhone"},
		"Outlook app":        {"Yes\n\nGet Outlook for Android", "Yes", "Get Outlook for Android"},
		"iPhone, Vietnamese": {"Vâng\n\nĐã gửi từ iPhone của tôi", "Vâng", "Đã gửi từ iPhone của tôi"},
		"iPhone, Portuguese": {"Sim\n\nEnviado do meu iPhone", "Sim", "Enviado do meu iPhone"},
		"iPhone, Spanish":    {"Sí\n\nEnviado desde mi iPhone", "Sí", "Enviado desde mi iPhone"},
		"iPhone, French":     {"Oui\n\nEnvoyé de mon iPhone", "Oui", "Envoyé de mon iPhone"},
		"iPhone, German":     {"Ja\n\nVon meinem iPhone gesendet", "Ja", "Von meinem iPhone gesendet"},
		"iPhone, Italian":    {"Sì\n\nInviato da iPhone", "Sì", "Inviato da iPhone"},
		"iPhone, Japanese":   {"はい\n\niPhoneから送信", "はい", "iPhoneから送信"},
		"only the last line": {"Sent from my iPhone\nis what I read", "Sent from my iPhone\nis what I read", ""},
	} {
		m := read(t, textMail(c.text+"\n"))
		require.Equal(t, c.unsigned, m.NewTextUnsigned, name)
		require.Equal(t, c.signature, m.Signature, name)
		require.Equal(t, c.text, m.Text, name)
	}
}

func htmlMail(html string) string {
	return plainHeader + "Content-Type: text/html; charset=utf-8\r\n\r\n" + html
}

func TestQuotesInHTMLAreFoundByWhatMailProgramsMark(t *testing.T) {
	t.Parallel()
	for name, html := range map[string]string{
		"gmail":       `<div dir="ltr">New.</div><br><div class="gmail_quote gmail_quote_container"><div dir="ltr" class="gmail_attr">On Mon, X wrote:<br></div><blockquote class="gmail_quote">Old</blockquote></div>`,
		"apple":       `<div>New.</div><div><blockquote type="cite"><div>On Mon, X wrote:</div><div>Old</div></blockquote></div>`,
		"outlook web": `<div>New.</div><div id="appendonsend"></div><hr><div id="divRplyFwdMsg">From: X</div>Old`,
		"outlook":     `<p>New.</p><div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in"><p><b>From:</b> X</p></div><p>Old</p>`,
		"thunderbird": `<p>New.</p><div class="moz-cite-prefix">Am 4.11. schrieb X:<br></div><blockquote type="cite" cite="mid:x">Old</blockquote>`,
		"yahoo":       `<div>New.</div><div id="x" class="yahoo_quoted"><div>X wrote</div>Old</div>`,
		"proton":      `<div>New.</div><div class="protonmail_quote">On Mon X wrote:<blockquote class="protonmail_quote" type="cite">Old</blockquote></div>`,
		"text marker": `<div>New.</div><div>On Mon, 4 Nov 2024, X wrote:</div><div>Old</div>`,
		"blockquote":  `<div>New.</div><blockquote>Old</blockquote>`,
	} {
		m := read(t, htmlMail(html))
		require.Equal(t, "New.", m.NewText, name)
		require.Contains(t, m.Text, "New.")
		require.Equal(t, html, m.HTML, name)
	}
	for name, html := range map[string]string{
		"answers below a quote": `<blockquote type="cite">Which size?</blockquote><div>Large.</div>`,
		"gmail forward":         `<div>See.</div><div class="gmail_quote"><div class="gmail_attr">---------- Forwarded message ---------<br>From: X &lt;x@y.example&gt;<br>Date: Mon<br>Subject: Q<br></div>Old</div>`,
		"only a quote":          `<div class="gmail_quote">Old</div>`,
	} {
		m := read(t, htmlMail(html))
		require.Equal(t, m.Text, m.NewText, name)
	}
}

func TestTheHTMLHelpsWhereTheTextShowsNoQuote(t *testing.T) {
	t.Parallel()
	m := read(t, plainHeader+"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nNew.\r\n\r\nOld\r\n--b\r\nContent-Type: text/html\r\n\r\n<div>New.</div><div class=\"gmail_quote\">Old</div>\r\n--b--\r\n")
	require.Equal(t, "New.\n\nOld", m.Text)
	require.Equal(t, "New.", m.NewText)
}
