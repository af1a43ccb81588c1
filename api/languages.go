package api

// Language is the language of a text, or a way of writing it down.
type Language string

// The languages that the description lists for translations, and zh, which the server
// takes too.
const (
	LanguageAuto               Language = "auto" // as a source only: the agent finds out
	LanguageChinese            Language = "zh"   // not listed, but taken
	LanguageSimplifiedChinese  Language = "zh-CN"
	LanguageTraditionalChinese Language = "zh-TW"
	LanguageClassicalChinese   Language = "wyw"
	LanguageCantonese          Language = "yue"
	LanguageEnglish            Language = "en"
	LanguageBritishEnglish     Language = "en-GB" // as a target only
	LanguageAmericanEnglish    Language = "en-US" // as a target only
	LanguageJapanese           Language = "ja"
	LanguageKorean             Language = "ko"
	LanguageFrench             Language = "fr"
	LanguageGerman             Language = "de"
	LanguageSpanish            Language = "es"
	LanguageRussian            Language = "ru"
	LanguagePortuguese         Language = "pt"
	LanguageItalian            Language = "it"
	LanguageArabic             Language = "ar"
	LanguageHindi              Language = "hi"
	LanguageBulgarian          Language = "bg"
	LanguageCzech              Language = "cs"
	LanguageDanish             Language = "da"
	LanguageGreek              Language = "el"
	LanguageEstonian           Language = "et"
	LanguageFinnish            Language = "fi"
	LanguageHungarian          Language = "hu"
	LanguageIndonesian         Language = "id"
	LanguageLithuanian         Language = "lt"
	LanguageLatvian            Language = "lv"
	LanguageDutch              Language = "nl"
	LanguageNorwegian          Language = "no" // Bokmål
	LanguagePolish             Language = "pl"
	LanguageRomanian           Language = "ro"
	LanguageSlovak             Language = "sk"
	LanguageSlovenian          Language = "sl"
	LanguageSwedish            Language = "sv"
	LanguageThai               Language = "th"
	LanguageTurkish            Language = "tr"
	LanguageUkrainian          Language = "uk"
	LanguageVietnamese         Language = "vi"
	LanguageBurmese            Language = "my"
	LanguageMalay              Language = "ms"
	LanguagePinyin             Language = "Pinyin" // Chinese in Latin letters
	LanguageIPA                Language = "IPA"    // phonetic transcription
)
