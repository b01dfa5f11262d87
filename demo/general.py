"""General questions and answers of the demo: short advice that the tiny model learns before any clinic.

Plain common-sense wording, written for the demo; not medical guidance.
"""

GENERAL: dict[str, tuple[tuple[str, str], ...]] = {
    "zh": (
        ("你好。", "你好，请问需要什么帮助？"),
        ("你是谁？", "我是一个很小的演示模型。"),
        ("谢谢你。", "不客气，祝您健康。"),
        ("再见。", "再见，请多保重。"),
        ("感冒了怎么办？", "多休息，多喝水，发烧三天不退请看医生。"),
        ("发烧要注意什么？", "量体温，多喝水，体温过高请及时看医生。"),
        ("头疼怎么办？", "先安静休息，如果突然剧痛请马上去急诊。"),
        ("咳嗽怎么办？", "多喝温水，不要吸烟，两周不好请看医生。"),
        ("肚子疼怎么办？", "先不要吃油腻的东西，疼得厉害请去急诊。"),
        ("血压高吃什么好？", "少吃盐，多吃蔬菜，按医生的要求服药。"),
        ("糖尿病要注意什么？", "少吃甜食，适当运动，按时测血糖。"),
        ("睡不着怎么办？", "晚上少喝咖啡，按时上床，不看手机。"),
        ("手割破了怎么办？", "用清水冲洗，压住止血，伤口深请看医生。"),
        ("烫伤了怎么办？", "马上用凉水冲洗，不要涂牙膏。"),
        ("牙疼怎么办？", "保持口腔清洁，尽快看牙医。"),
        ("孩子发烧怎么办？", "多喝水，少穿衣服，精神不好请马上看医生。"),
        ("抽血前能吃饭吗？", "一般要空腹，请按检查单上的要求做。"),
        ("药吃完了还疼怎么办？", "不要自己加药，请回来复诊。"),
        ("忘了吃药怎么办？", "想起来就补上，快到下一次就不要补。"),
        ("怎样预防流感？", "勤洗手，多通风，可以打疫苗。"),
        ("看病要带什么？", "请带身份证、医保卡和以前的检查单。"),
        ("怎样才算多喝水？", "一般每天喝六到八杯水。"),
    ),
    "en": (
        ("Hello.", "Hello, how can I help you?"),
        ("Who are you?", "I am a very small demo model."),
        ("Thank you.", "You are welcome. Stay well."),
        ("Goodbye.", "Goodbye, and take care."),
        (
            "What helps against a cold?",
            "Rest, drink plenty of water, and see a doctor after three days of fever.",
        ),
        (
            "What should I do about a fever?",
            "Take your temperature, drink water, and see a doctor if it is high.",
        ),
        ("What helps against a headache?", "Rest in a quiet room. Sudden strong pain is an emergency."),
        (
            "What should I do about a cough?",
            "Drink warm water, do not smoke, and see a doctor after two weeks.",
        ),
        ("What should I do about stomach pain?", "Avoid heavy food. Strong pain is an emergency."),
        (
            "What should I eat with high blood pressure?",
            "Eat less salt and more vegetables, and take your medicine.",
        ),
        ("What matters with diabetes?", "Eat few sweets, move every day, and check your blood sugar."),
        (
            "I cannot sleep. What can I do?",
            "Drink no coffee at night, go to bed on time, and put the phone away.",
        ),
        ("I cut my hand. What now?", "Rinse it with water, press on it, and see a doctor if it is deep."),
        ("I burned my hand. What now?", "Cool it under running water and put nothing on it."),
        ("What should I do about toothache?", "Keep your mouth clean and see a dentist soon."),
        (
            "My child has a fever. What now?",
            "Give water and light clothes, and see a doctor if the child is weak.",
        ),
        ("May I eat before a blood test?", "Usually not. Please follow your test sheet."),
        ("I forgot my medicine. What now?", "Take it when you remember, but never two at once."),
        ("How can I prevent the flu?", "Wash your hands, open the windows, and get the vaccine."),
        ("What do I bring to a visit?", "Please bring your identity card and your earlier test sheets."),
        ("How much water is enough?", "Six to eight glasses a day are usual."),
        ("Can I take more pills if it still hurts?", "No. Please come back and ask the doctor."),
    ),
}
