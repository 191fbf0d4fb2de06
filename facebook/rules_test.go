package facebook_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
)

// expected is the product's own words about what becomes of an activity, written
// apart from the rules: spec rows F3 to F5.
func expected(r facebook.Rules, a facebook.Activity, keywordInText, keywordInThread bool) facebook.Outcome {
	if a.Verb != facebook.Added {
		return facebook.Apply
	}
	ours := a.By != facebook.ByCustomer
	ticket := false
	switch {
	case ours:
		ticket = r.OwnActivity
	case a.What == facebook.Message:
		ticket = r.Messages
	case r.Posts == facebook.Everything:
		ticket = true
	case r.Posts == facebook.Relevant && a.What == facebook.Post:
		ticket = r.VisitorPosts
	case r.Posts == facebook.Relevant && a.What == facebook.Comment:
		onOurs := a.PostBy == facebook.ByPage || a.PostBy == ""
		ticket = r.Comments && onOurs && (len(r.Keywords) == 0 || keywordInText || keywordInThread)
	}
	switch {
	case ticket:
		return facebook.MakeTicket
	case a.What == facebook.Message:
		return facebook.Record // always to be seen
	case a.What == facebook.Comment && (ours || a.Nested || a.InOwnPost):
		return facebook.Join // if there is something to be joined
	}
	return facebook.Ignore
}

func TestRulesOverEveryCombination(t *testing.T) {
	t.Parallel()
	both := []bool{false, true}
	count := 0
	for _, messages := range both {
		for _, own := range both {
			for _, posts := range []facebook.Posts{"", facebook.Nothing, facebook.Relevant, facebook.Everything} {
				for _, visitor := range both {
					for _, comments := range both {
						for _, keywords := range [][]string{nil, {"giá"}} {
							r := facebook.Rules{Messages: messages, OwnActivity: own, Posts: posts, VisitorPosts: visitor, Comments: comments, Keywords: keywords}
							count += checkRules(t, r)
						}
					}
				}
			}
		}
	}
	require.Greater(t, count, 50000)
}

func checkRules(t *testing.T, r facebook.Rules) (count int) {
	t.Helper()
	both := []bool{false, true}
	for _, what := range []facebook.What{facebook.Message, facebook.Post, facebook.Comment} {
		for _, verb := range []facebook.Verb{facebook.Added, facebook.Edited, facebook.Removed, facebook.Hidden, facebook.Shown} {
			for _, by := range []facebook.By{facebook.ByCustomer, facebook.ByPage, facebook.ByStaff} {
				for _, postBy := range []facebook.By{"", facebook.ByCustomer, facebook.ByPage, facebook.ByStaff} {
					for _, nested := range both {
						for _, inOwn := range both {
							for _, inText := range both {
								for _, inThread := range both {
									a := facebook.Activity{What: what, Verb: verb, By: by, PostBy: postBy, Nested: nested, InOwnPost: inOwn, Text: "hay", Thread: "stack"}
									if inText {
										a.Text = "Giá bao nhiêu"
									}
									if inThread {
										a.Thread = "GIÁ?"
									}
									got := r.Decide(a)
									count++
									if want := expected(r, a, inText, inThread); got.Outcome != want || got.Reason == "" {
										t.Fatalf("%+v of %+v: %v, want %s", a, r, got, want)
									}
								}
							}
						}
					}
				}
			}
		}
	}
	return count
}

func TestTheZeroRulesMakeNoTickets(t *testing.T) {
	t.Parallel()
	for _, what := range []facebook.What{facebook.Message, facebook.Post, facebook.Comment} {
		for _, by := range []facebook.By{facebook.ByCustomer, facebook.ByPage, facebook.ByStaff} {
			require.NotEqual(t, facebook.MakeTicket, facebook.Rules{}.Decide(facebook.Activity{What: what, Verb: facebook.Added, By: by}).Outcome)
		}
	}
}

func TestKeywords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keyword, text string
		match         bool
	}{
		{"giá", "Giá bao nhiêu?", true},
		{"GIÁ", "cho hỏi giá", true},
		{"giá", "gia\u0301 sao", true},            // decomposed in the text
		{"gia\u0301", "giá sao", true},            // and in the keyword
		{"gia", "Giá bao nhiêu", true},            // a keyword without diacritics matches across them
		{"giá", "gia bao nhieu", false},           // one with diacritics does not
		{"giá", "giả", false},                     // nor other ones
		{"dat hang", "Em muốn đặt  hàng ạ", true}, // the stroke of đ too, and blanks
		{"đặt hàng", "dat hang", false},           //
		{"đặt hàng", "ĐẶT HÀNG nhé", true},        //
		{"gia", "giải thích", false},              // only whole words
		{"gia", "gia-đình, gia!", true},           // punctuation ends a word
		{"size 40", "size 400", false},            // digits are part of words
		{"size 40", "SIZE 40?", true},             //
		{"preço", "PREÇO?", true},                 //
		{"preco", "qual o preço", true},           //
		{"straße", "STRASSE", true},               // full case folding
		{"価格", "この商品の価格は", true},                  // no words to be bounded
		{"ราคา", "สินค้านี้ราคาเท่าไหร่", true},   //
		{"ราคา", "รากา", false},                   //
		{"ราค", "ราคา", true},                     //
		{"sale", "大sale中", true},                  // between scripts without spaces
		{"sale", "wholesale", false},              //
		{"สี", "ส", false},                        // vowels are no diacritics
		{"ﬁt", "does it fit?", true},              // compatibility forms
		{"ｇｉａ", "gia", true},                      //
		{"gia", "", false},                        //
		{"a", "aa a", true},                       // looked for further on
		{"??", "what??", true},                    // without letters there are no words
		{"c++", "C++ rocks", true},                //
		{"Ё", "ё", true},                          // other alphabets' marks are diacritics of the text too
		{"е", "ё", true},                          //
		{"gia", "xem gia\u0301nh", false},         // a mark belongs to its word
		{"istanbul", "İstanbul", true},            // dotted İ folds to i and a mark
		{"giá 🙂", "giá 🙂 nhé", true},              //
		{"hàng", "hàng\u200b", true},              // a zero-width blank is no letter
		{"bao nhiêu", "bao\nnhiêu", true},         // lines
		{"κόσμος", "ΚΌΣΜΟΣ", true},                // final sigma
		{"số lượng", "sô´ lượng", false},          //
		{"miễn phí", "MIỄN PHÍ vận chuyển", true}, //
		{"mien phi", "miễn\u00a0phí", true},       // a no-break blank
		{"khuyến mãi", "khuyến mại", false},       //
		{"mua", "mua1", false},                    //
		{"1", "11", false},                        //
		{"₫", "100.000₫", true},                   //
		{"free", "free_ship", true},               //
		{"ship", "ship😀", true},                   //
		{"شحن", "الشحن", false},                   // other scripts with spaces have words too
		{"שלום", "שלום!", true},                   //
		{"가격", "가격이 얼마", false},                   // Korean has spaces: particles make another word
		{"가격", "가격?", true},                       //
		{"price", "thepriceis", false},            //
		{"price", "price's", true},                //
	} {
		r := facebook.Rules{Posts: facebook.Relevant, Comments: true, Keywords: []string{c.keyword}}
		got := r.Decide(facebook.Activity{What: facebook.Comment, Verb: facebook.Added, By: facebook.ByCustomer, PostBy: facebook.ByPage, Text: c.text})
		require.Equal(t, c.match, got.Outcome == facebook.MakeTicket, "%q in %q", c.keyword, c.text)
	}
}

func TestBadConfigurationsNameTheField(t *testing.T) {
	t.Parallel()
	many := make([]string, 501)
	for i := range many {
		many[i] = fmt.Sprint("k", i)
	}
	for _, c := range []struct {
		field string
		page  facebook.Page
	}{
		{"page_id", facebook.Page{}},
		{"page_id", facebook.Page{ID: "12x"}},
		{"page_id", facebook.Page{ID: "12/../34"}},
		{"access_token", facebook.Page{ID: "12", Token: "a b"}},
		{"access_token", facebook.Page{ID: "12", Token: "a\nb"}},
		{"rules.posts", facebook.Page{ID: "12", Rules: facebook.Rules{Posts: "some"}}},
		{"rules.keywords", facebook.Page{ID: "12", Rules: facebook.Rules{Keywords: []string{" "}}}},
		{"rules.keywords", facebook.Page{ID: "12", Rules: facebook.Rules{Keywords: []string{"\xff"}}}},
		{"rules.keywords", facebook.Page{ID: "12", Rules: facebook.Rules{Keywords: many}}},
		{"rules.staff", facebook.Page{ID: "12", Rules: facebook.Rules{Staff: []string{"an"}}}},
	} {
		_, err := c.page.Account()
		require.ErrorContains(t, err, c.field+": ")
	}
}
