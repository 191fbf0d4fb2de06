package main

import (
	"math/rand/v2"
	"strings"
)

// language is one in which customers write. Its words are drawn by Zipf's law:
// those that everybody uses first, and a long tail of rare ones that are made of
// its syllables.
type language struct {
	common    []string
	syllables []string
	joint     string // between the syllables of a rare word
	names     []string
	mailbox   string
}

// vocabulary is how many words a language has.
const vocabulary = 60_000

var languages = [...]language{
	{
		common: strings.Fields(`the to and a of in is for on my order you not it have with this was please be that are but
			from we your has at can when been they delivery received as will or yet day still email number need help
			parcel refund account payment thank hello address shipping item package wrong broken return invoice week
			cannot password login change cancel card charged twice tracking store size colour arrived missing waiting
			since tomorrow answer phone question bought website error photo attached warranty replacement exchange
			voucher discount subscription customer service manager urgent regards best morning`),
		syllables: strings.Fields("ba con der est fin gra hol in ket lo men nor pla qui ras sto ter un ver win"),
		names:     strings.Fields("Alice Brown Carol Davis Emma Foster Grace Hughes Irene Jones Kate Lewis"),
		mailbox:   "support",
	},
	{
		common: strings.Fields(`tôi không có là của và cho đã được hàng đơn chưa này em anh chị với thì khi gửi ngày nhận cần
			giúp xin chào cảm ơn giao tiền trả lại đổi mua sản phẩm bị lỗi số điện thoại địa chỉ thanh toán tài khoản
			mật khẩu hóa hoàn chậm lâu rồi vẫn một hai ba tuần tháng trước sau kiểm tra thông tin màu kích thước sai
			thiếu vỡ hỏng bảo hành khuyến mãi mã giảm giá cửa nhân viên trả lời sớm mong liên hệ ảnh đính kèm`),
		syllables: strings.Fields("nguyễn trần phạm đặng bùi hoàng quỳnh thảo giang tuyết khánh hương phượng vũ lâm sơn hải yến ngọc đức"),
		joint:     " ",
		names:     strings.Fields("An Bình Chi Dũng Giang Hà Khánh Lan Minh Nga Phúc Quỳnh"),
		mailbox:   "hotro",
	},
	{
		common: strings.Fields(`de o a que e não do da em um para meu com uma os no se na por mais as foi pedido ainda minha
			recebi produto entrega você como mas ao bom dia obrigado favor preciso ajuda número compra pagamento conta
			cartão valor troca devolução prazo endereço loja chegou errado quebrado cancelar senha nota fiscal boleto
			reembolso atraso semana cliente atendimento resposta espero site erro foto anexo garantia cor tamanho
			desconto cupom quando onde já estou foram duas vezes cobrança olá boa tarde`),
		syllables: strings.Fields("ção ri ma ta des con lha nho ger pra ca lo fe quen til vão bre sil mar õe"),
		names:     strings.Fields("Ana Bruno Clara Diego Elisa Fábio Inês João Lúcia Marcos Paula Renata"),
		mailbox:   "suporte",
	},
}

// word returns the word of a rank, 0 being the most frequent.
func (l *language) word(rank uint64) string {
	if rank < uint64(len(l.common)) {
		return l.common[rank]
	}
	var b strings.Builder
	n := uint64(len(l.syllables))
	for rank -= uint64(len(l.common)) - n; rank > 0; rank /= n {
		if b.Len() > 0 {
			b.WriteString(l.joint)
		}
		b.WriteString(l.syllables[rank%n])
	}
	return b.String()
}

// writer writes texts of one language.
type writer struct {
	*language
	rnd  *rand.Rand
	zipf *rand.Zipf
}

func newWriter(l *language, rnd *rand.Rand) *writer {
	return &writer{language: l, rnd: rnd, zipf: rand.NewZipf(rnd, 1.1, 4, vocabulary-1)}
}

// sentence returns n words.
func (w *writer) sentence(n int) string {
	var b strings.Builder
	w.write(&b, n)
	return b.String()
}

func (w *writer) write(b *strings.Builder, n int) {
	for i := range n {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(w.word(w.zipf.Uint64()))
	}
}

// text returns about n words in sentences and paragraphs.
func (w *writer) text(n int) string {
	var b strings.Builder
	for n > 0 {
		k := 4 + w.rnd.IntN(14)
		w.write(&b, k)
		if n -= k; w.rnd.IntN(4) == 0 {
			b.WriteString(".\n\n")
		} else {
			b.WriteString(". ")
		}
	}
	return b.String()
}

func (w *writer) name() string {
	return w.names[w.rnd.IntN(len(w.names))] + " " + w.names[w.rnd.IntN(len(w.names))]
}
